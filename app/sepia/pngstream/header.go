package pngstream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// The colour types of a PNG.
const (
	colourGrey      = 0
	colourRGB       = 2
	colourPalette   = 3
	colourGreyAlpha = 4
	colourRGBA      = 6
)

// channels has the samples per pixel of each colour type, depths the valid bits per sample.
var (
	channels = map[byte]int{colourGrey: 1, colourRGB: 3, colourPalette: 1, colourGreyAlpha: 2, colourRGBA: 4}
	depths   = map[byte][]byte{colourGrey: {1, 2, 4, 8, 16}, colourRGB: {8, 16}, colourPalette: {1, 2, 4, 8},
		colourGreyAlpha: {8, 16}, colourRGBA: {8, 16}}
)

// header is what precedes the picture.
type header struct {
	width, height int
	depth, colour byte
	interlaced    bool
	palette       []byte // RGBA of every index that depth allows
	transparent   []byte // the 16-bit samples of the transparent colour of a grey or RGB picture
}

func (c *chunks) readHeader() error {
	if c.left != 13 {
		return errors.New("the IHDR chunk has an invalid length")
	}
	b, err := c.body()
	if err != nil {
		return err
	}
	width, height := int32(binary.BigEndian.Uint32(b)), int32(binary.BigEndian.Uint32(b[4:]))
	h := header{width: int(width), height: int(height), depth: b[8], colour: b[9], interlaced: b[12] == 1}
	if !slices.Contains(depths[h.colour], h.depth) || b[10] != 0 || b[11] != 0 || b[12] > 1 {
		return fmt.Errorf("invalid header: colour type %d, depth %d, methods % x", h.colour, h.depth, b[10:13])
	}
	const most = 1 << 60 // image/png refuses images of more than 2^63 bytes
	if width <= 0 || height <= 0 || int64(width)*int64(height) >= most {
		return fmt.Errorf("invalid size: %d x %d", width, height)
	}
	if h.colour == colourGrey {
		h.palette = greys(h.depth)
	}
	c.header = h
	return nil
}

// greys returns a palette that has the colour of every sample of depth bits, of 8 bits at most.
func greys(depth byte) []byte {
	n := 1 << min(depth, 8)
	p := make([]byte, 0, 4*n)
	for i := range n {
		v := byte(i * 255 / (n - 1))
		p = append(p, v, v, v, 255)
	}
	return p
}

// readPalette reads a PLTE chunk, which is ignored for RGB. Indexes that it lacks are opaque black, as in image/png and
// libpng.
func (c *chunks) readPalette() error {
	h := &c.header
	size := 1 << min(h.depth, 8)
	n := int(c.left / 3)
	if c.left%3 != 0 || n == 0 || n > size {
		return errors.New("the PLTE chunk has an invalid length")
	}
	if h.colour == colourGrey || h.colour == colourGreyAlpha {
		return errors.New("a grey picture has a PLTE chunk")
	}
	b, err := c.body()
	if err != nil || h.colour != colourPalette {
		return err
	}
	h.palette = make([]byte, 4*size)
	for i := range size {
		entry := h.palette[4*i : 4*i+4]
		if i < n {
			copy(entry, b[3*i:3*i+3])
		}
		entry[3] = 255
	}
	return nil
}

// readTransparency reads a tRNS chunk: the alpha of the palette, or the one colour that is transparent.
func (c *chunks) readTransparency() error {
	h := &c.header
	var valid bool
	switch h.colour {
	case colourPalette:
		valid = c.left <= 256
	case colourGrey, colourRGB:
		valid = int(c.left) == 2*channels[h.colour]
	}
	if !valid {
		return errors.New("the tRNS chunk has an invalid length")
	}
	b, err := c.body()
	if err != nil {
		return err
	}
	if h.colour != colourPalette {
		h.transparent = slices.Clone(b)
		return nil
	}
	for i := range min(len(b), len(h.palette)/4) {
		h.palette[4*i+3] = b[i]
	}
	return nil
}

// layout returns what the rows of the picture become.
func (h *header) layout() Layout {
	switch {
	case h.transparent == nil && (h.colour == colourGrey || h.colour == colourPalette):
		return Palette
	case h.transparent == nil && h.colour == colourRGB:
		return RGB
	}
	return RGBA
}
