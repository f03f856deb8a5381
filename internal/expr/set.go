package expr

// setFuncs lists the set-returning functions.
func setFuncs() map[string][]*SetFunc {
	out := map[string][]*SetFunc{}
	add := func(name, args, ret string, k setKernel) {
		out[name] = append(out[name], &SetFunc{Name: name, Args: parseTypes(args), Ret: parseTypes(ret)[0], expand: k})
	}
	add("generate_series", "int4,int4", "int4", nil)
	add("generate_series", "int4,int4,int4", "int4", nil)
	add("generate_series", "int8,int8", "int8", nil)
	add("generate_series", "int8,int8,int8", "int8", nil)
	add("generate_series", "timestamp,timestamp,interval", "timestamp", nil)
	add("generate_series", "timestamptz,timestamptz,interval", "timestamptz", nil)
	add("unnest", "anyarray", "anyelement", nil)
	return out
}
