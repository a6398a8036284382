package icc_test

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"testing"

	"imagery/app/sepia/icc"
)

// TestSameBytes compares the results of all kinds of conversion with those of another architecture: a change of
// them shows here, and arm64 must agree with amd64.
func TestSameBytes(t *testing.T) {
	const want = "a5c0715516437ab3872603361f0206840a83c535ff2d0c4ff172980d3ba3f75e"
	h := sha256.New()
	src := make([]byte, 24<<10)
	random := uint32(1)
	for i := range src {
		random = random*1664525 + 1013904223
		src[i] = byte(random >> 24)
	}
	add := func(tr *icc.Transform, err error) {
		if err != nil {
			t.Fatal(err)
		}
		dst := make([]byte, 3*len(src)/tr.Channels())
		tr.Convert(dst, src)
		h.Write(dst)
		clear(dst)
		tr.Convert16(dst, src)
		h.Write(dst)
	}
	all := profiles()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		add(icc.Parse(all[name].data))
	}
	add(icc.CICP(9, 16))
	add(icc.CICP(9, 18))
	add(icc.CICP(12, 7))
	if got := fmt.Sprintf("%x", h.Sum(nil)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
