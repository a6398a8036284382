package sepia

import (
	"image"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// TestToneVectors compares the vector instructions with Go for every colour.
func TestToneVectors(t *testing.T) {
	if !vector {
		t.Skip("this processor has no vector instructions that are used")
	}
	defer func() { vector = true }()
	const n = 1 << 16
	var want, four [4 * n]byte
	three := make([]byte, 3*n)
	for red := range 256 {
		for i := range n {
			p := [4]byte{byte(red), byte(i >> 8), byte(i), byte(i * 7)}
			copy(want[4*i:], p[:])
			copy(three[3*i:], p[:3])
		}
		four = want
		vector = false
		tones().apply(want[:], 4)
		vector = true
		tones().apply(four[:], 4)
		if rest := tones().applyVectors(three, 3); len(rest) != 0 {
			t.Fatalf("%d bytes are left", len(rest))
		}
		if four != want {
			t.Errorf("red %d: other colours with vectors", red)
		}
		for i := range n {
			if [3]byte(three[3*i:]) != [3]byte(want[4*i:]) {
				t.Fatalf("colour %d %d %d: %v, with vectors of 3 bytes %v", red, i>>8, i&255,
					want[4*i:][:3], three[3*i:][:3])
			}
		}
	}
}

// TestToneQuadsVectors compares rows of every length, with colours that are in the cache and others.
func TestToneQuadsVectors(t *testing.T) {
	if !vector {
		t.Skip("this processor has no vector instructions that are used")
	}
	defer func() { vector = true }()
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 4000 {
		size := image.Rect(0, 0, 2+n%100*2, 4)
		fine := image.NewYCbCr(size, image.YCbCrSubsampleRatio420)
		spread := 1 + r.IntN(256)
		for _, plane := range [][]uint8{fine.Y, fine.Cb, fine.Cr} {
			mean := r.IntN(256)
			for i := range plane {
				plane[i] = uint8(mean + r.IntN(spread)>>(i%3))
			}
		}
		clone := func() *image.YCbCr {
			m := *fine
			m.Y, m.Cb, m.Cr = slices.Clone(fine.Y), slices.Clone(fine.Cb), slices.Clone(fine.Cr)
			return &m
		}
		first, again := clone(), clone()
		tonePlanes(first) // many colours are not in the cache
		tonePlanes(again) // most of them are
		vector = false
		tonePlanes(fine)
		vector = true
		for i, got := range []*image.YCbCr{first, again} {
			if !reflect.DeepEqual(got, fine) {
				t.Fatalf("%v, colours within %d: other samples with vectors, run %d", size, spread, i)
			}
		}
	}
}
