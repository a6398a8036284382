// Package budget determines how much memory the processes of this machine may use, and shares it between them.
package budget

import (
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// percent of the smallest limit is the budget. The rest is for memory that is not accounted for: the kernel's socket
// buffers, page cache, and other programs of the machine.
const percent = 60

// Measured returns the memory budget of all processes of this machine in bytes: 60 % of the smallest of GOMEMLIMIT,
// the cgroup's limit and the machine's RAM. It returns 0 if none of them can be read.
func Measured() int64 {
	smallest := uint64(math.MaxInt64)
	if v := debug.SetMemoryLimit(-1); v < math.MaxInt64 {
		smallest = uint64(v)
	}
	for _, provider := range []memlimit.Provider{memlimit.FromCgroup, memlimit.FromSystem} {
		if v, err := provider(); err == nil && v > 0 {
			smallest = min(smallest, v)
		}
	}
	if smallest == math.MaxInt64 {
		return 0
	}
	return int64(smallest) / 100 * percent
}
