//go:build unix

package fleet

import (
	"os"
	"syscall"
)

// ownGroup keeps the terminal's Ctrl-C from the children: the fleet stops them in its own order.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// terminate asks the process to stop.
func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
