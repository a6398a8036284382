//go:build linux || darwin

package doctor

import "syscall"

// freeBytes returns the free space on the disk of dir that is available to users.
func freeBytes(dir string) (free int64, ok bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true
}

// openFiles returns how many files a process may have open: the soft limit, which Go raises to the hard limit at start.
func openFiles() (n uint64, ok bool) {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0, false
	}
	return uint64(r.Cur), true
}
