package browser

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// landscape paints hills under a sky, different for every seed, so that screenshots show distinguishable photos.
func landscape(w, h int, seed float64) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	mix := func(a, b [3]float64, t float64) (c [3]float64) {
		for i := range c {
			c[i] = a[i] + (b[i]-a[i])*min(max(t, 0), 1)
		}
		return c
	}
	top := [3]float64{30 + 20*math.Sin(seed), 70 + 20*math.Cos(seed*2), 130 + 30*math.Sin(seed*3)}
	horizon := [3]float64{205, 140 + 20*math.Sin(seed*5), 95 + 40*math.Cos(seed)}
	near := [3]float64{30 + 20*math.Sin(seed*4), 52 + 20*math.Cos(seed*3), 40}
	sunX, sunY := 0.5+0.3*math.Sin(seed*7), 0.3+0.1*math.Cos(seed*3)
	for y := range h {
		for x := range w {
			u, v := float64(x)/float64(w), float64(y)/float64(h)
			c := mix(top, horizon, v*1.7)
			d := math.Hypot((u-sunX)*float64(w)/float64(h), v-sunY)
			c = mix(c, [3]float64{250, 226, 180}, 1.15-d/0.09)
			c = mix(c, [3]float64{230, 190, 140}, 0.3-d)
			for k := range 5 {
				f := float64(k)
				slope := 0.42 + 0.11*f + (0.10-0.012*f)*math.Sin(u*(3+f)+seed*(f+1))
				ridge := slope + 0.035*math.Sin(u*(11+5*f)+seed*3*f) + 0.008*math.Sin(u*(47+9*f)+f)
				if v > ridge {
					c = mix(mix(horizon, near, 0.35+0.16*f), near, (v-slope)*2)
				}
			}
			img.SetRGBA(x, y, color.RGBA{clamp(c[0]), clamp(c[1]), clamp(c[2]), 255})
		}
	}
	return img
}

func clamp(v float64) uint8 { return uint8(min(max(v, 0), 255)) }

func write(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func jpegFile(t *testing.T, name string, w, h int, seed float64) string {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, landscape(w, h, seed), &jpeg.Options{Quality: 92}); err != nil {
		t.Fatal(err)
	}
	return write(t, name, b.Bytes())
}

// heavyFile makes a photo of that many bytes, which takes long to send.
func heavyFile(t *testing.T, name string, size int64) string {
	t.Helper()
	return pad(t, jpegFile(t, name, 300, 200, 5), size)
}

// pad lengthens a file. Decoders ignore what follows the end of the picture.
func pad(t *testing.T, path string, size int64) string {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

// truncatedFile makes a photo with a valid header and a truncated body: it is accepted and fails later.
func truncatedFile(t *testing.T, name string) string {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, landscape(200, 150, 3)); err != nil {
		t.Fatal(err)
	}
	return write(t, name, b.Bytes()[:b.Len()/2])
}

// hugePNG makes a PNG with so many pixels in its header, and no data.
func hugePNG(t *testing.T, name string, w, h uint32) string {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		t.Fatal(err)
	}
	p := b.Bytes()
	binary.BigEndian.PutUint32(p[16:], w)
	binary.BigEndian.PutUint32(p[20:], h)
	binary.BigEndian.PutUint32(p[29:], crc32.ChecksumIEEE(p[12:29]))
	return write(t, name, p)
}
