package expr

// aggFuncs lists the aggregates; PostgreSQL's argument and result types.
func aggFuncs() map[string][]*AggFunc {
	out := map[string][]*AggFunc{}
	add := func(name string, op AggOp, args, ret string) {
		out[name] = append(out[name], &AggFunc{Name: name, Op: op, Args: parseTypes(args), Ret: parseTypes(ret)[0]})
	}
	add("count", AggCountStar, "", "int8")
	add("count", AggCount, "any", "int8")
	for _, p := range [][2]string{{"int2", "int8"}, {"int4", "int8"}, {"int8", "numeric"}, {"float4", "float4"}, {"float8", "float8"},
		{"numeric", "numeric"}, {"interval", "interval"}} {
		add("sum", AggSum, p[0], p[1])
	}
	for _, p := range [][2]string{{"int2", "numeric"}, {"int4", "numeric"}, {"int8", "numeric"}, {"float4", "float8"}, {"float8", "float8"},
		{"numeric", "numeric"}, {"interval", "interval"}} {
		add("avg", AggAvg, p[0], p[1])
	}
	for _, t := range []string{"int2", "int4", "int8", "float4", "float8", "numeric", "text", "varchar", "date", "time", "timestamp", "timestamptz",
		"interval", "oid"} {
		ret := t
		if t == "varchar" {
			continue // as text, which it becomes
		}
		add("min", AggMin, t, ret)
		add("max", AggMax, t, ret)
	}
	add("min", AggMin, "anyarray", "anyarray")
	add("max", AggMax, "anyarray", "anyarray")
	add("bool_and", AggBoolAnd, "bool", "bool")
	add("every", AggBoolAnd, "bool", "bool")
	add("bool_or", AggBoolOr, "bool", "bool")
	add("string_agg", AggStringAgg, "text,text", "text")
	add("any_value", AggAnyValue, "anyelement", "anyelement")
	add("single_value", AggSingle, "anyelement", "anyelement")
	for _, p := range [][2]string{{"int2", "numeric"}, {"int4", "numeric"}, {"int8", "numeric"}, {"float4", "float8"}, {"float8", "float8"},
		{"numeric", "numeric"}} {
		for _, n := range []struct {
			name string
			op   AggOp
		}{{"stddev", AggStddevSamp}, {"stddev_samp", AggStddevSamp}, {"stddev_pop", AggStddevPop}, {"variance", AggVarSamp},
			{"var_samp", AggVarSamp}, {"var_pop", AggVarPop}} {
			add(n.name, n.op, p[0], p[1])
		}
	}
	return out
}
