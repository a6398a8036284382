//go:build unix

package codec

import "syscall"

// reserve returns n zeros. The system provides those pages that are used.
func reserve(n int) ([]byte, error) {
	return syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
}

func release(b []byte) { _ = syscall.Munmap(b) } // b was mapped by reserve
