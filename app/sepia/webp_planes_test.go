package sepia_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"slices"
	"testing"

	"golang.org/x/image/vp8"

	"imagery/app/imagery"
	"imagery/app/sepia"
)

// naiveWebP converts the planes of a lossy WebP as the comments of libwebp define it: the mean of the four nearest
// chroma samples with weights of 9, 3, 3 and 1, and BT.601 with 14 fractional bits.
func naiveWebP(m *image.YCbCr) pixels {
	width, height := m.Rect.Dx(), m.Rect.Dy()
	return pixels{width, height, func(x, y int) color.NRGBA {
		sample := func(plane []uint8, x, y int) int {
			x, y = min(max(x, 0), (width-1)/2), min(max(y, 0), (height-1)/2)
			return int(plane[y*m.CStride+x])
		}
		chroma := func(plane []uint8) int {
			sideX, sideY := x/2+x%2*2-1, y/2+y%2*2-1
			return (9*sample(plane, x/2, y/2) + 3*sample(plane, sideX, y/2) + 3*sample(plane, x/2, sideY) +
				sample(plane, sideX, sideY) + 8) / 16
		}
		l, u, v := int(m.Y[y*m.YStride+x]), chroma(m.Cb), chroma(m.Cr)
		clip := func(v int) uint8 { return uint8(min(max(v>>6, 0), 255)) }
		return color.NRGBA{
			clip(l*19077/256 + v*26149/256 - 14234),
			clip(l*19077/256 - u*6419/256 - v*13320/256 + 8708),
			clip(l*19077/256 + u*33050/256 - 17685),
			255,
		}
	}}
}

// TestWebPChroma compares planes of noise with the naive upsampling, at every size of few pixels and around the size of
// the parts in which rows are upsampled, in all orientations.
func TestWebPChroma(t *testing.T) {
	check := func(width, height int) {
		t.Run(fmt.Sprintf("%dx%d", width, height), func(t *testing.T) {
			m := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
			for c, plane := range [][]uint8{m.Y, m.Cb, m.Cr} {
				for i := range plane {
					plane[i] = uint8(noise8(i, width*height, c))
				}
			}
			want := naiveWebP(m)
			compare(t, sepia.WebPRows(m), want, 0)
			for o := 1; o <= 8; o++ {
				got, err := sepia.WebPStrips(m, o)
				if err != nil {
					t.Fatal(err)
				}
				compare(t, got, straightPixels(want.sepiaOf(o).inPlanes()), 0)
			}
		})
	}
	for width := 1; width <= 9; width++ {
		for height := 1; height <= 9; height++ {
			check(width, height)
		}
	}
	for _, width := range []int{255, 256, 257, 258, 511, 513} {
		check(width, 3)
	}
	for _, height := range []int{15, 16, 17, 18, 31, 33} {
		check(5, height)
	}
}

// TestWebPCutShort cuts a lossy WebP at 200 places, and one that declares 50 megapixels behind its first kilobyte.
func TestWebPCutShort(t *testing.T) {
	whole := fixture(t, "edges.webp")
	for i := range 200 {
		n := len(whole) * i / 200
		_, err := sepia.Filter{}.Apply(t.Context(), slices.Clip(whole[:n]))
		var bad *imagery.BadPhoto
		if !errors.As(err, &bad) {
			t.Fatalf("%d of %d bytes: got %v, want a bad photo", n, len(whole), err)
		}
	}
	frame := slices.Concat(webpChunks(whole)[0].body, make([]byte, 1024))[:1024]
	copy(frame[6:], "\x10\x27\x88\x13") // 10000 x 5000
	_, err := sepia.Filter{}.Apply(t.Context(), webpFile(webpChunk{"VP8 ", frame}))
	refused(t, err, imagery.Unreadable)
}

// samePlanes fails unless the filter makes of an opaque lossy WebP what the planes of x/image/vp8 give, or both refuse
// it.
func samePlanes(t *testing.T, raw []byte, orientation int) {
	t.Helper()
	for b := raw[12:]; len(b) >= 8; {
		id, n := string(b[:4]), int64(binary.LittleEndian.Uint32(b[4:]))
		data := b[8:][:min(n, int64(len(b)-8))]
		b = b[8:][min(n+n&1, int64(len(b)-8)):]
		switch id {
		case "ALPH", "VP8L", "ANMF":
			return
		case "VP8 ":
			d := vp8.NewDecoder()
			d.Init(bytes.NewReader(data), len(data))
			_, err := d.DecodeFrameHeader()
			var m *image.YCbCr
			if err == nil {
				m, err = d.DecodeFrame()
			}
			got, refusal := sepia.Develop(t.Context(), raw)
			if (err == nil) != (refusal == nil) {
				t.Fatalf("x/image/vp8 says %v, the filter %v", err, refusal)
			}
			if err == nil {
				compare(t, got, straightPixels(naiveWebP(m).sepiaOf(orientation).inPlanes()), 0)
			}
			return
		}
	}
}
