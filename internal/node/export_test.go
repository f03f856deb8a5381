package node

// Fail reports a failure as a part of the node would.
func (n *Node) Fail(err error) { n.fail(err) }
