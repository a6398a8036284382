//go:build !amd64

package pngstream

func adlerAVX2([]byte) (sum, sums, weighted uint64) { panic("not on this architecture") }

func paethAVX2(row, above *byte, pixels, distance int) { panic("not on this architecture") }
