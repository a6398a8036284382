package sepia

import (
	"image"
	"image/color"
	"sync/atomic"

	"imagery/app/sepia/icc"
)

// colourCache caches the filter result of YCbCr colours, indexed by luma and the low bits of both chroma samples. An
// entry is Cb | luma<<8 | Cr<<16 | tag<<24. The tag has the high bits of the chroma, so that a single atomic word is
// either the right entry or recognizably another one. A photo has few colours compared with its pixels, so nearly every
// access hits. Results are exactly those of filtering RGB pixels.
//
// A table of all colours would take 64 MiB. A smaller table of rounded chroma is not faster and costs 0.9 dB.
type colourCache struct {
	entries [1 << cacheBits]atomic.Uint32
	colours *icc.Transform // of RGB pixels, before the filter; nil if they are sRGB
}

const (
	chromaBits = 5
	cacheBits  = 8 + 2*chromaBits
	cacheSize  = 4 << cacheBits // in bytes
)

// toneCache caches colours in sRGB, for all photos.
var toneCache colourCache

// cacheIndex returns the index of a pair of chroma samples in a colourCache, for luma 0, and its tag, which is never 0.
func cacheIndex(cb, cr uint8) (at, tag uint32) {
	const low = 1<<chromaBits - 1
	at = uint32(cb&low)<<8 | uint32(cr&low)<<(8+chromaBits)
	return at, uint32(cb>>chromaBits)<<(8-chromaBits) + uint32(cr>>chromaBits) + 1
}

// toned returns the cache entry of a colour, and computes it if it is missing.
func (c *colourCache) toned(y, cb, cr uint8) uint32 {
	at, tag := cacheIndex(cb, cr)
	entry := &c.entries[at|uint32(y)]
	if e := entry.Load(); e>>24 == tag {
		return e
	}
	var p [4]byte
	p[0], p[1], p[2] = color.YCbCrToRGB(y, cb, cr)
	y, cb, cr = c.filtered(&p)
	e := uint32(cb) | uint32(y)<<8 | uint32(cr)<<16 | tag<<24
	entry.Store(e)
	return e
}

// filtered returns the filter result of an RGB pixel.
func (c *colourCache) filtered(p *[4]byte) (y, cb, cr uint8) {
	if c.colours != nil {
		source := *p // a grey pixel has its value in each channel
		c.colours.Convert(p[:3], source[:c.colours.Channels()])
	}
	tones().apply(p[:], 4)
	return color.RGBToYCbCr(p[0], p[1], p[2])
}

// chromaMean returns the mean chroma of four entries, rounded like image/jpeg.
func chromaMean(a, b, c, d uint32) (cb, cr uint8) {
	const chroma = 0xff00ff
	sum := a&chroma + b&chroma + c&chroma + d&chroma + 2<<16 + 2
	return uint8(sum >> 2), uint8(sum >> 18)
}

// tonePlanes applies the filter to a strip in place and converts it to 4:2:0. Width and height must be even.
func (c *colourCache) tonePlanes(m *image.YCbCr) {
	h, v := sampling(m.SubsampleRatio)
	if h == 2 && v == 2 {
		c.tone420(m)
		return
	}
	one := func(row []uint8, y, x int) uint32 {
		at := y/v*m.CStride + x/h
		e := c.toned(row[x], m.Cb[at], m.Cr[at])
		row[x] = uint8(e >> 8)
		return e
	}
	// Writing in place is safe: each position of chroma was read before it is written.
	for j := range m.Rect.Dy() / 2 {
		upper, lower := m.Y[2*j*m.YStride:], m.Y[(2*j+1)*m.YStride:]
		for i := range m.Rect.Dx() / 2 {
			p, q := one(upper, 2*j, 2*i), one(upper, 2*j, 2*i+1)
			r, s := one(lower, 2*j+1, 2*i), one(lower, 2*j+1, 2*i+1)
			m.Cb[j*m.CStride+i], m.Cr[j*m.CStride+i] = chromaMean(p, q, r, s)
		}
	}
	m.SubsampleRatio = image.YCbCrSubsampleRatio420
}

// tone420 is tonePlanes for 4:2:0, the usual case.
func (c *colourCache) tone420(m *image.YCbCr) {
	n := m.Rect.Dx() / 2
	for j := range m.Rect.Dy() / 2 {
		upper, lower := m.Y[2*j*m.YStride:][:2*n], m.Y[(2*j+1)*m.YStride:][:2*n]
		cbs, crs := m.Cb[j*m.CStride:][:n], m.Cr[j*m.CStride:][:n]
		if !vector {
			c.toneQuads(upper, lower, cbs, crs)
			continue
		}
		for i := 0; i < n; {
			if eights := (n - i) / 8; eights > 0 {
				i += 8 * tone420AVX2(&upper[2*i], &lower[2*i], &cbs[i], &crs[i], eights, &c.entries[0], &planeConstants)
			}
			next := min(i+8, n)
			c.toneQuads(upper[2*i:2*next], lower[2*i:2*next], cbs[i:next], crs[i:next])
			i = next
		}
	}
}

// toneQuads filters two rows of pixels. Each two by two of them share their chroma.
func (t *colourCache) toneQuads(upper, lower, cbs, crs []uint8) {
	for i, cb := range cbs {
		cr := crs[i]
		at, tag := cacheIndex(cb, cr)
		lumas := (*[256]atomic.Uint32)(t.entries[at:])
		p, q := (*[2]uint8)(upper), (*[2]uint8)(lower)
		a, b, c, d := lumas[p[0]].Load(), lumas[p[1]].Load(), lumas[q[0]].Load(), lumas[q[1]].Load()
		if tag <<= 24; ((a^tag)|(b^tag)|(c^tag)|(d^tag))>>24 != 0 {
			a, b = t.toned(p[0], cb, cr), t.toned(p[1], cb, cr)
			c, d = t.toned(q[0], cb, cr), t.toned(q[1], cb, cr)
		}
		p[0], p[1], q[0], q[1] = uint8(a>>8), uint8(b>>8), uint8(c>>8), uint8(d>>8)
		cbs[i], crs[i] = chromaMean(a, b, c, d)
		upper, lower = upper[2:], lower[2:]
	}
}
