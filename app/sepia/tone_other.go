//go:build !amd64

package sepia

func tone4AVX2(*byte, int, *toneVectors) { panic("not on this architecture") }

func tone3AVX2(*byte, int, *toneVectors) { panic("not on this architecture") }
