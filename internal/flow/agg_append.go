package flow

// appendOnly says of each placed node whether it never emits a weight below 0.
func appendOnly(nodes []placed) []bool {
	only := make([]bool, len(nodes))
	for i, n := range nodes {
		all := true
		for _, x := range n.in {
			all = all && only[x]
		}
		switch op := n.op.(type) {
		case *Input:
			only[i] = op.AppendOnly
		case *Values:
			only[i] = op.Rows.Weights == nil
		case *Filter, *Project, *ProjectSet, *Window, *Buckets, *Union, *Exchange:
			only[i] = all
		case *Finalize:
			only[i] = true
		case *Aggregate:
			only[i] = op.OnClose
		case *TimeFilter:
			only[i] = all && len(op.Until) == 0
		case *Lookup:
			only[i] = only[n.in[0]]
		case *Join:
			only[i] = all && op.Kind == JoinInner
		case *Match:
			only[i] = op.Final
		}
	}
	return only
}
