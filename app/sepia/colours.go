package sepia

import (
	"context"
	"image"

	"imagery/app/sepia/icc"
	"imagery/app/sepia/pngstream"
)

// colours has what a file says about the colours of its pixels. The zero value stands for sRGB.
type colours struct {
	channels int        // of a pixel, without alpha: 1, 3 or 4
	profile  []span     // parts of the ICC profile, in order
	held     []byte     // the ICC profile of a HEIC or AVIF, from its header
	packed   bool       // the profile is a chunk of a PNG, see unpack
	tags     colourTags // of a PNG
}

// maxProfile limits an ICC profile, in bytes. The largest ones, of printers, have less than 3 MB; one that has more is
// ignored.
const maxProfile = 4 << 20

// maxTransform limits what an icc.Transform holds, in bytes.
const maxTransform = 1 << 20

// setProfile sets the parts of the ICC profile, unless it is too large.
func (c *colours) setProfile(parts ...span) {
	if c.profile = parts; c.size() > maxProfile {
		c.profile = nil
	}
}

// size returns the bytes of the ICC profile in the file.
func (c *colours) size() (n int64) {
	for _, part := range c.profile {
		n += part.len
	}
	return n + int64(len(c.held))
}

// described reports whether the pixels may have to be converted.
func (c *colours) described() bool {
	return len(c.profile) > 0 || c.held != nil || c.tags != colourTags{}
}

// transform returns the conversion of the pixels of a file to sRGB, or nil if they are sRGB. A description that is
// damaged, or that does not fit the pixels, is ignored.
func (c *colours) transform(raw []byte) *icc.Transform {
	if t, ok := c.tags.codePoints(); ok {
		return t
	}
	if profile := c.gather(raw); profile != nil {
		// Like browsers, take a profile of RGB for grey pixels, too.
		t, err := icc.Parse(profile)
		if err == nil && (t == nil || t.Channels() == c.channels || t.Channels() == 3 && c.channels == 1) {
			return t
		}
	}
	return c.tags.gammaAndChroma()
}

// gather returns the ICC profile of a file, or nil if there is none.
func (c *colours) gather(raw []byte) []byte {
	switch {
	case len(c.profile) == 0:
		return c.held
	case c.packed:
		return unpack(c.profile[0].of(raw))
	case len(c.profile) == 1:
		return c.profile[0].of(raw)
	}
	b := make([]byte, 0, c.size())
	for _, part := range c.profile {
		b = append(b, part.of(raw)...)
	}
	return b
}

// memory returns the maximum memory of the conversion of a photo of that width, in bytes: the profile, the transform,
// the colours that are cached, and a row of pixels before and after it.
func (c *colours) memory(width int) int64 {
	if !c.described() {
		return 0
	}
	profile := c.size()
	if c.packed {
		profile = min(deflateRatio*profile, maxProfile) + inflateMemory
	}
	const row = 4 + 4 + 3
	return profile + maxTransform + cacheSize + row*int64(width)
}

// described reports whether the pixels of a photo may have to be converted.
func described(j *job) bool { return j.photo.colours.described() }

// findColours finds out how the pixels are converted to sRGB.
func findColours(_ context.Context, j *job) error {
	j.colours = j.photo.colours.transform(j.raw)
	return nil
}

// in returns a source of planes whose colours the filter converts to sRGB first; nil means that they are sRGB.
func (s stripSource) in(t *icc.Transform) stripSource {
	if t != nil {
		c := &colourCache{colours: t}
		s.tone = func(m *image.YCbCr, _ int) { c.tonePlanes(m) }
	}
	return s
}

// in returns a source of the same photo in sRGB, whose pixels are opaque if t has four channels. Their number of bytes
// is that of the layout in any case: for CMYK it is RGBA, with the inks in place of the colours. nil means that the
// photo is in sRGB.
func (s rowSource) in(t *icc.Transform) rowSource {
	switch {
	case t == nil:
		return s
	case s.layout == pngstream.Palette:
		newRowConverter(t, len(s.palette)/4).convert(s.palette, s.palette, 4)
		return s
	}
	n, next := s.layout.Channels(), s.next
	c, out := newRowConverter(t, s.width), make([]byte, n*s.width)
	s.next = func() ([]byte, error) {
		row, err := next()
		if err != nil {
			return nil, err
		}
		c.convert(out, row[:len(out)], n)
		return out, nil
	}
	return s
}

// rowConverter converts rows of pixels to sRGB.
type rowConverter struct {
	*icc.Transform
	pixels, rgb []byte // a row, before and after
}

func newRowConverter(t *icc.Transform, width int) rowConverter {
	return rowConverter{t, make([]byte, t.Channels()*width), make([]byte, 3*width)}
}

// convert converts pixels of size bytes. The fourth byte is alpha, which stays, or an ink.
func (c rowConverter) convert(dst, src []byte, size int) {
	n := c.Channels()
	switch {
	case size == 3 && n == 3:
		c.Convert(dst, src)
		return
	case n == 4:
		c.Convert(c.rgb, src)
	default:
		for i := range len(src) / size {
			copy(c.pixels[n*i:n*i+n], src[size*i:])
		}
		c.Convert(c.rgb, c.pixels)
	}
	for i := range len(src) / size {
		copy(dst[size*i:size*i+3], c.rgb[3*i:])
		switch {
		case n == 4:
			dst[size*i+3] = 255
		case size == 4:
			dst[size*i+3] = src[size*i+3]
		}
	}
}
