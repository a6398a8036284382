//go:build unix

package fleet

import (
	"os"
	"syscall"
)

// ownGroup puts a child into its own process group, so that Ctrl-C reaches only the fleet, which stops its children in
// order.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// terminate sends SIGTERM.
func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
