//go:build !unix

package file

import "io/fs"

// fileID names a file whatever its path, or is "" if the system does not tell.
func fileID(fs.FileInfo) string { return "" }
