package flow

// newDistinct returns Distinct as a group by every column without aggregates: a row
// is there while its weights sum to more than 0. Rows that SQL calls equal are one
// row, shown in one of their forms whatever came first.
func newDistinct(env Env, _ *Distinct) (Operator, error) {
	op := &Aggregate{Keys: make([]int, len(env.In[0]))}
	for i := range op.Keys {
		op.Keys[i] = i
	}
	return newAggregate(env, op)
}
