//go:build !unix

package local

import "io/fs"

// linkCount returns 1: the number of hard links is not known on this platform.
func linkCount(fs.FileInfo) uint64 { return 1 }
