//go:build !linux && !darwin

package doctor

func freeBytes(string) (free int64, ok bool) { return 0, false }

func openFiles() (n uint64, ok bool) { return 0, false }
