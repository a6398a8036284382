package pngstream

// deepColours converts the colours of samples of 16 bits.
type deepColours struct {
	convert func(dst, src []byte)
	n       int // samples that convert takes for a pixel: 1 or 3
}

// Convert16 makes Row return colours that convert has made of samples of 16 bits, instead of their high bytes. convert
// gets n samples for each pixel, 1 or 3, big endian and without alpha, and returns RGB of 8 bits. With it the layout is
// RGB, or RGBA with alpha. Convert16 must be called before Row. It returns false, and changes nothing, if samples have
// fewer bits, or if the picture has colours and convert takes greys.
func (r *Reader) Convert16(convert func(dst, src []byte), n int) bool {
	h := &r.chunks.header
	if h.Depth != 16 || n != 1 && n != 3 || n < h.colours() {
		return false
	}
	h.deep = &deepColours{convert, n}
	if r.layout = RGB; h.hasAlpha() || h.transparent != nil {
		r.layout = RGBA
	}
	return true
}

// hasAlpha reports whether the samples of a pixel include its alpha.
func (h Header) hasAlpha() bool { return h.Colour == ColourGreyAlpha || h.Colour == ColourRGBA }

// colours returns the number of samples of a pixel without alpha.
func (h Header) colours() int {
	if h.hasAlpha() {
		return channels[h.Colour] - 1
	}
	return channels[h.Colour]
}

// deepConverter is converter for a picture with deepColours.
func deepConverter(h *header) func(dst, src []byte) {
	c, n, size := h.deep, h.colours(), 2*channels[h.Colour]
	samples, rgb := make([]byte, 2*c.n*h.Width), make([]byte, 3*h.Width)
	return func(dst, src []byte) {
		pixels := len(src) / size
		for i := range pixels {
			for k := range c.n {
				copy(samples[2*(c.n*i+k):][:2], src[size*i+2*(k%n):])
			}
		}
		c.convert(rgb[:3*pixels], samples[:2*c.n*pixels])
		if !h.hasAlpha() && h.transparent == nil {
			copy(dst, rgb)
			return
		}
		for i := range pixels {
			p, alpha := src[size*i:][:size], byte(255)
			switch {
			case h.hasAlpha():
				alpha = p[2*n]
			case string(p) == string(h.transparent):
				alpha = 0
			}
			copy(dst[4*i:], rgb[3*i:3*i+3])
			dst[4*i+3] = alpha
		}
	}
}
