package expr

// String implements Expr.
func (e Col) String() string       { return "" }
func (e Const) String() string     { return "" }
func (e Param) String() string     { return "" }
func (e *Call) String() string     { return "" }
func (e *Cast) String() string     { return "" }
func (e *Logic) String() string    { return "" }
func (e *Not) String() string      { return "" }
func (e *IsNull) String() string   { return "" }
func (e *IsBool) String() string   { return "" }
func (e *Distinct) String() string { return "" }
func (e *Case) String() string     { return "" }
func (e *Coalesce) String() string { return "" }
func (e *InList) String() string   { return "" }
func (e Now) String() string       { return "" }
