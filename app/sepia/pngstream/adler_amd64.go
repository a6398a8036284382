package pngstream

// adlerAVX2 returns the sum of the bytes, for each 32 bytes the sum before them, all added, and the sum of the bytes
// times 32 to 1 by their place among 32. The length of p is a multiple of 32, not 0, and at most 64 KiB.
//
//go:noescape
func adlerAVX2(p []byte) (sum, sums, weighted uint64)
