package sepia

import (
	"image"
	"sync/atomic"

	"imagery/app/sepia/icc"
)

// The planes of a lossy WebP are 4:2:0 in video range: luma 16 to 235, chroma 16 to 240. golang.org/x/image/webp leaves
// the conversion to the caller (Go issue 40173). The functions in this file make the RGB pixels of libwebp, bit by bit:
// its "fancy" upsampling of chroma, and its conversion in fixed point.

// A pair of chroma samples is cb | cr<<16. Sums of pairs do not overflow into each other.
const chromaPair = 0xff00ff

// toneKey is a bit of the chroma of a pixel that makes its key a valid one, see webpCache.
const toneKey = 1 << 24

// chromaRow is a row of the chroma planes.
type chromaRow struct{ cb, cr []uint8 }

// chromaOf returns row y of the chroma planes of m. Rows above the first one and below the last one are their copies.
func chromaOf(m *image.YCbCr, y int) chromaRow {
	width, height := (m.Rect.Dx()+1)/2, (m.Rect.Dy()+1)/2
	at := min(max(y, 0), height-1) * m.CStride
	return chromaRow{m.Cb[at:][:width], m.Cr[at:][:width]}
}

// weighted returns three parts of the near and one part of the far row in column x, as a pair.
func weighted(near, far chromaRow, x int) uint32 {
	return 3*(uint32(near.cb[x])|uint32(near.cr[x])<<16) + (uint32(far.cb[x]) | uint32(far.cr[x])<<16)
}

// upsample writes the chroma of a row of pixels as pairs with toneKey, from the first pixel of chroma column x. A pixel
// gets 9/16 of the sample that covers it, 3/16 of the next one to its side, 3/16 of the next one above or below, and
// 1/16 of that in the corner. near is the row of the first two, far that of the others. The length of dst is even.
func upsample(dst []uint32, near, far chromaRow, x int) {
	const round = 8<<16 | 8 | toneKey<<4
	const mask = chromaPair | toneKey
	left, mid := weighted(near, far, max(x-1, 0)), weighted(near, far, x)
	n := min(len(dst)/2, len(near.cb)-1-x) // how many have a sample to their right
	x++
	nearCb, nearCr, farCb, farCr := near.cb[x:][:n], near.cr[x:][:n], far.cb[x:][:n], far.cr[x:][:n]
	for i := range nearCb {
		right := 3*uint32(nearCb[i]) + uint32(farCb[i]) + (3*uint32(nearCr[i])+uint32(farCr[i]))<<16
		pair, most := (*[2]uint32)(dst), 3*mid+round
		pair[0], pair[1] = (most+left)>>4&mask, (most+right)>>4&mask
		left, mid, dst = mid, right, dst[2:]
	}
	if len(dst) > 0 {
		dst[0], dst[1] = (3*mid+round+left)>>4&mask, (4*mid+round)>>4&mask
	}
}

// upsampleRow is upsample, with vectors for the columns that have a sample on either side.
func upsampleRow(dst []uint32, near, far chromaRow, x int) {
	if vector && x == 0 && len(dst) > 2 {
		upsample(dst[:2], near, far, 0)
		dst, x = dst[2:], 1
	}
	if eights := min(len(dst)/2, len(near.cb)-1-x) / 8; vector && x > 0 && eights > 0 {
		left := x - 1
		upsampleAVX2(&dst[0], &near.cb[left], &near.cr[left], &far.cb[left], &far.cr[left], eights, &planeConstants)
		dst, x = dst[16*eights:], x+8*eights
	}
	upsample(dst, near, far, x)
}

// videoToRGB converts a colour like libwebp (VP8YuvToRgb): with constants of BT.601 that have 14 fractional bits, of
// which 6 remain after each product.
func videoToRGB(y, cb, cr uint8) (r, g, b uint8) {
	clip := func(v int32) uint8 { return uint8(min(max(v>>6, 0), 255)) }
	luma, u, v := int32(y)*19077>>8, int32(cb), int32(cr)
	return clip(luma + v*26149>>8 - 14234), clip(luma - u*6419>>8 - v*13320>>8 + 8708), clip(luma + u*33050>>8 - 17685)
}

// webpSpan is the number of pixels whose chroma is upsampled at a time, so that it stays in the nearest cache.
const webpSpan = 256

// webpRow writes a part of row y of the photo as opaque 4-byte pixels, from column x, which is even.
func webpRow(dst []byte, m *image.YCbCr, x, y int) {
	var pairs [webpSpan]uint32
	near, far := chromaOf(m, y/2), chromaOf(m, y/2-1+y%2*2)
	for luma := m.Y[y*m.YStride+x:][:len(dst)/4]; len(luma) > 0; {
		n := min(webpSpan, len(luma))
		upsampleRow(pairs[:(n+1)&^1], near, far, x/2)
		for i, l := range luma[:n] {
			p := dst[4*i:][:4:4]
			p[0], p[1], p[2] = videoToRGB(l, uint8(pairs[i]), uint8(pairs[i]>>16))
			p[3] = 255
		}
		dst, luma, x = dst[4*n:], luma[n:], x+n
	}
}

// webpCache caches the filter result of colours in video range, of all photos in sRGB, as toneCache does for those in
// full range. The key of a colour is cb | luma<<8 | cr<<16 | toneKey. Its upper 7 bits are the tag of an entry.
var webpCache colourCache

// webpEntry returns the entry for a key. Three bits of the tag change the index, so that colours with nearly the same
// chroma have different entries.
func (c *colourCache) webpEntry(key uint32) *atomic.Uint32 {
	return &c.entries[(key^key>>13&0xe0)%uint32(len(c.entries))]
}

// tonedKey returns the entry of a colour, and computes it if it is missing.
func (c *colourCache) tonedKey(key uint32) uint32 {
	entry := c.webpEntry(key)
	if e := entry.Load(); e>>24 == key>>18 {
		return e
	}
	var p [4]byte
	p[0], p[1], p[2] = videoToRGB(uint8(key>>8), uint8(key), uint8(key>>16))
	y, cb, cr := c.filtered(&p)
	e := uint32(cb) | uint32(y)<<8 | uint32(cr)<<16 | key>>18<<24
	entry.Store(e)
	return e
}

// webpPlanes is upright for a lossy WebP, and in. A strip has the rows of chroma that cover it and those around them,
// which toneWebP needs.
func webpPlanes(m *image.YCbCr, orientation int, colours *icc.Transform) stripSource {
	width, height := m.Rect.Dx(), m.Rect.Dy()
	luma := turned(m.Y, m.YStride, width, height, 1, 1, orientation)
	cb := turned(m.Cb, m.CStride, (width+1)/2, (height+1)/2, 1, 1, orientation)
	cr := cb
	cr.samples = m.Cr
	// With 4:2:2 there is room for the additional rows.
	s := stripSource{width: len(luma.across), height: len(luma.down), ratio: image.YCbCrSubsampleRatio422}
	s.read = func(strip *image.YCbCr, y int) error {
		rows := min(strip.Rect.Dy(), s.height-y)
		luma.copy(strip.Y, strip.YStride, y, rows, 0)
		cb.copyAround(strip.Cb[strip.CStride:], strip.CStride, y/2, rows/2+1)
		cr.copyAround(strip.Cr[strip.CStride:], strip.CStride, y/2, rows/2+1)
		return nil
	}
	shiftX, shiftY := oddMirror(luma.across), oddMirror(luma.down)
	cache := &webpCache
	if colours != nil {
		cache = &colourCache{colours: colours}
	}
	s.tone = func(strip *image.YCbCr, y int) {
		cache.toneWebP(strip, s.width, min(strip.Rect.Dy(), s.height-y), shiftX, shiftY)
	}
	return s
}

// oddMirror returns 1 if a side is odd and mirrored, so that its first chroma sample covers only one pixel.
func oddMirror(at []int) int {
	if last := len(at) - 1; at[0] > at[last] {
		return len(at) & 1
	}
	return 0
}

// copyAround writes the row above row y, n rows from row y, and the row below them. Rows outside of the plane are
// copies of its first or last one.
func (t turnedPlane) copyAround(dst []uint8, stride, y, n int) {
	from, to := max(y-1, 0), min(y+n+1, len(t.down))
	t.copy(dst[(from-y+1)*stride:], stride, from, to-from, 0)
	row := func(y int) []uint8 { return dst[y*stride:][:len(t.across)] }
	if from == y {
		copy(row(0), row(1))
	}
	for i := to - y + 1; i < n+2; i++ {
		copy(row(i), row(i-1))
	}
}

// toneWebP applies the filter to a strip of webpPlanes in place and converts it to 4:2:0. Only width and height have
// pixels.
func (c *colourCache) toneWebP(m *image.YCbCr, width, height, shiftX, shiftY int) {
	chroma := func(row int) chromaRow {
		at, n := row*m.CStride, (width+1)/2
		return chromaRow{m.Cb[at:][:n], m.Cr[at:][:n]}
	}
	padPlane(m.Y, m.YStride, width, height, (height+1)&^1)
	for y := 0; y < height; y += 2 {
		// The row in front is overwritten, the other three have the chroma above, at and below these rows of pixels.
		above, near, below := chroma(y/2+1), chroma(y/2+2), chroma(y/2+3)
		rows := [2][2]chromaRow{{near, above}, {near, below}}
		if shiftY == 1 {
			rows = [2][2]chromaRow{{near, below}, {below, near}}
		}
		if y+1 == height {
			rows[1] = rows[0] // a copy of the last row
		}
		for x := 0; x < width; x += webpSpan {
			n := min(webpSpan, width-x)
			var pairs [2][webpSpan + 2]uint32
			for i := range pairs {
				upsampleRow(pairs[i][:(n+shiftX+1)&^1], rows[i][0], rows[i][1], x/2)
				if n&1 == 1 {
					pairs[i][n+shiftX] = pairs[i][n+shiftX-1] // a copy of the last column
				}
			}
			n = (n + 1) &^ 1
			c.tonePairRows(m.Y[y*m.YStride+x:][:n], m.Y[(y+1)*m.YStride+x:][:n], pairs[0][shiftX:], pairs[1][shiftX:],
				m.Cb[y/2*m.CStride+x/2:][:n/2], m.Cr[y/2*m.CStride+x/2:][:n/2])
		}
	}
	m.SubsampleRatio = image.YCbCrSubsampleRatio420
	pad(m, width, height)
}

// tonePairRows is tonePairs, with vectors where the colours are in the cache.
func (c *colourCache) tonePairRows(upper, lower []uint8, above, below []uint32, cbs, crs []uint8) {
	n := len(cbs)
	if !vector {
		c.tonePairs(upper, lower, above, below, cbs, crs)
		return
	}
	for i := 0; i < n; {
		if eights := (n - i) / 8; eights > 0 {
			i += 8 * tonePairsAVX2(&upper[2*i], &lower[2*i], &above[2*i], &below[2*i], &cbs[i], &crs[i], eights,
				&c.entries[0], &planeConstants)
		}
		next := min(i+8, n)
		c.tonePairs(upper[2*i:2*next], lower[2*i:2*next], above[2*i:2*next], below[2*i:2*next], cbs[i:next], crs[i:next])
		i = next
	}
}

// tonePairs applies the filter to two rows of pixels. cbs and crs get the mean chroma of each two by two.
func (cache *colourCache) tonePairs(upper, lower []uint8, above, below []uint32, cbs, crs []uint8) {
	crs = crs[:len(cbs)]
	for i := range cbs {
		p, q := (*[2]uint8)(upper), (*[2]uint8)(lower)
		s, t := (*[2]uint32)(above), (*[2]uint32)(below)
		k, l, m, n := s[0]|uint32(p[0])<<8, s[1]|uint32(p[1])<<8, t[0]|uint32(q[0])<<8, t[1]|uint32(q[1])<<8
		a, b := cache.webpEntry(k).Load(), cache.webpEntry(l).Load()
		c, d := cache.webpEntry(m).Load(), cache.webpEntry(n).Load()
		if ((a^k<<6)|(b^l<<6)|(c^m<<6)|(d^n<<6))>>24 != 0 {
			a, b, c, d = cache.tonedKey(k), cache.tonedKey(l), cache.tonedKey(m), cache.tonedKey(n)
		}
		p[0], p[1], q[0], q[1] = uint8(a>>8), uint8(b>>8), uint8(c>>8), uint8(d>>8)
		cbs[i], crs[i] = chromaMean(a, b, c, d)
		upper, lower, above, below = upper[2:], lower[2:], above[2:], below[2:]
	}
}
