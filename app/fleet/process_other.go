//go:build !unix

package fleet

import (
	"os"
	"syscall"
)

func ownGroup() *syscall.SysProcAttr { return nil }

// terminate kills: there is no signal to ask with, and a killed process loses nothing that was accepted.
func terminate(p *os.Process) error { return p.Kill() }
