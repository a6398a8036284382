package sepia

import (
	"bytes"
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
		toneCache.tonePlanes(first) // many colours are not in the cache
		toneCache.tonePlanes(again) // most of them are
		vector = false
		toneCache.tonePlanes(fine)
		vector = true
		for i, got := range []*image.YCbCr{first, again} {
			if !reflect.DeepEqual(got, fine) {
				t.Fatalf("%v, colours within %d: other samples with vectors, run %d", size, spread, i)
			}
		}
	}
}

// TestWebPVectors compares strips of a lossy WebP of every width up to 70 and around the parts in which rows are
// upsampled, with colours that are in the cache and others. The samples around the pixels must be the same, too.
func TestWebPVectors(t *testing.T) {
	if !vector {
		t.Skip("this processor has no vector instructions that are used")
	}
	defer func() { vector = true }()
	r := rand.New(rand.NewPCG(3, 4))
	widths := []int{webpSpan - 1, webpSpan, webpSpan + 1, webpSpan + 2, webpSpan + 17, 2*webpSpan - 1, 2*webpSpan + 3}
	for width := 1; width <= 70; width++ {
		widths = append(widths, width)
	}
	for _, width := range widths {
		for n := range 24 {
			height := 1 + n%6
			shiftX, shiftY := n/6%2*(width%2), n/12*(height%2)
			spread := 1 + r.IntN(256)
			var fine strip
			fine.prepare(width, height, image.YCbCrSubsampleRatio422)
			for i := range fine.planes {
				fine.planes[i] = uint8(r.IntN(spread))
			}
			toned := func() []byte {
				var s strip
				s.prepare(width, height, image.YCbCrSubsampleRatio422)
				copy(s.planes, fine.planes)
				webpCache.toneWebP(&s.YCbCr, width, height, shiftX, shiftY)
				return s.planes
			}
			first := toned() // many colours are not in the cache
			again := toned() // most of them are
			vector = false
			want := toned()
			vector = true
			if !slices.Equal(first, want) || !slices.Equal(again, want) {
				t.Fatalf("%dx%d shifted by %d %d, colours within %d: other samples with vectors", width, height, shiftX,
					shiftY, spread)
			}
		}
	}
}

// TestWebPVectorsInBounds looks for writes behind slices of every length.
func TestWebPVectorsInBounds(t *testing.T) {
	const room = 64
	check := func(n int, name string, behind []byte) {
		t.Helper()
		for i, b := range behind {
			if b != 0xa5 {
				t.Fatalf("%d columns: byte %d behind %s is written", n, i, name)
			}
		}
	}
	guarded := func(n int) []byte { return bytes.Repeat([]byte{0xa5}, n+room) }
	for n := 1; n <= 70; n++ {
		row := chromaRow{guarded(n)[:n], guarded(n)[:n]}
		pairs := make([]uint32, 2*n+room)
		upsampleRow(pairs[:2*n], row, row, 0)
		if at := slices.IndexFunc(pairs[2*n:], func(p uint32) bool { return p != 0 }); at >= 0 {
			t.Fatalf("%d columns: pair %d behind the row is written", n, at)
		}
		for range 2 { // the colours of the second time are in the cache
			upper, lower, cbs, crs := guarded(2*n), guarded(2*n), guarded(n), guarded(n)
			webpCache.tonePairRows(upper[:2*n], lower[:2*n], pairs, pairs, cbs[:n], crs[:n])
			check(n, "luma", upper[2*n:])
			check(n, "luma", lower[2*n:])
			check(n, "Cb", cbs[n:])
			check(n, "Cr", crs[n:])
		}
	}
}
