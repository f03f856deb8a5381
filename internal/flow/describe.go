package flow

func (*Input) Describe() string      { return "" }
func (*Values) Describe() string     { return "" }
func (*Filter) Describe() string     { return "" }
func (*Project) Describe() string    { return "" }
func (*ProjectSet) Describe() string { return "" }
func (*Window) Describe() string     { return "" }
func (*Union) Describe() string      { return "" }
func (*Distinct) Describe() string   { return "" }
func (*SetOp) Describe() string      { return "" }
func (*Join) Describe() string       { return "" }
func (*Aggregate) Describe() string  { return "" }
func (*TopN) Describe() string       { return "" }
func (*Exchange) Describe() string   { return "" }
func (*Output) Describe() string     { return "" }
