//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// outliveFileSize makes a write beyond this process's file size limit, which bounds the log, an error of that write. By
// default its signal ends a program.
func outliveFileSize() { signal.Notify(make(chan os.Signal, 1), syscall.SIGXFSZ) }
