//go:build !mutants

package ckpt

// trustsRecords is a mutation: the checksum of a record is not looked at. With -tags
// mutants tests can turn it on, to see that they find it.
const trustsRecords = false
