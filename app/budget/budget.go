// Package budget finds out how much memory a process may use, and shares it out.
package budget

import (
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// share is the part of the smallest limit that we plan with, in percent. The rest is for what no plan sees:
// the kernel's buffers of our sockets, page cache, and other programs of the machine.
const share = 60

// Measured returns what everything that runs here may plan with, in bytes: 60 % of the smallest of GOMEMLIMIT, the
// cgroup's limit and the machine's RAM. It is 0 when none of them can be read.
func Measured() int64 {
	least := uint64(math.MaxInt64)
	if v := debug.SetMemoryLimit(-1); v < math.MaxInt64 {
		least = uint64(v)
	}
	for _, provider := range []memlimit.Provider{memlimit.FromCgroup, memlimit.FromSystem} {
		if v, err := provider(); err == nil && v > 0 {
			least = min(least, v)
		}
	}
	if least == math.MaxInt64 {
		return 0
	}
	return int64(least) / 100 * share
}
