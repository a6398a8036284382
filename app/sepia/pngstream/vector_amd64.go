package pngstream

// adlerAVX2 returns the sum of the bytes, for each 32 bytes the sum before them, all added, and the sum of the bytes
// times 32 to 1 by their place among 32. The length of p is a multiple of 32, not 0, and at most 64 KiB.
//
//go:noescape
func adlerAVX2(p []byte) (sum, sums, weighted uint64)

// paethAVX2 reverses the filter Paeth of so many pixels, not 0, at the beginning of a row, of 3 or 4 bytes as distance
// says. It reads four bytes of the pixel behind them, and overwrites the first if a pixel has three.
//
//go:noescape
func paethAVX2(row, above *byte, pixels, distance int)
