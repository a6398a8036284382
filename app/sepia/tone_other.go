//go:build !amd64

package sepia

import "sync/atomic"

func tone4AVX2(*byte, int, *toneVectors) { panic("not on this architecture") }

func tone3AVX2(*byte, int, *toneVectors) { panic("not on this architecture") }

func tone420AVX2(_, _, _, _ *byte, _ int, _ *atomic.Uint32, _ *planeVectors) int {
	panic("not on this architecture")
}

func tonePairsAVX2(_, _ *byte, _, _ *uint32, _, _ *byte, _ int, _ *atomic.Uint32, _ *planeVectors) int {
	panic("not on this architecture")
}

func upsampleAVX2(_ *uint32, _, _, _, _ *byte, _ int, _ *planeVectors) {
	panic("not on this architecture")
}
