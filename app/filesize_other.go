//go:build !unix

package main

// outliveFileSize does nothing where processes have no file size limit.
func outliveFileSize() {}
