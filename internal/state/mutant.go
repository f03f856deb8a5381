//go:build !mutants

package state

// forgetsDirty is a mutation: a page that is written is not in the list of dirty ones.
// With -tags mutants tests can turn it on, to see that they find it.
const forgetsDirty = false
