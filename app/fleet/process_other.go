//go:build !unix

package fleet

import (
	"os"
	"syscall"
)

func ownGroup() *syscall.SysProcAttr { return nil }

// terminate kills the process, because there is no signal for a clean stop. Accepted uploads survive that.
func terminate(p *os.Process) error { return p.Kill() }
