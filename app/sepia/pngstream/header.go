package pngstream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Signature precedes the first chunk of a file.
const Signature = "\x89PNG\r\n\x1a\n"

// The colour types of a PNG.
const (
	ColourGrey      = 0
	ColourRGB       = 2
	ColourPalette   = 3
	ColourGreyAlpha = 4
	ColourRGBA      = 6
)

// channels has the samples per pixel of each colour type, depths the valid bits per sample.
var (
	channels = map[byte]int{ColourGrey: 1, ColourRGB: 3, ColourPalette: 1, ColourGreyAlpha: 2, ColourRGBA: 4}
	depths   = map[byte][]byte{ColourGrey: {1, 2, 4, 8, 16}, ColourRGB: {8, 16}, ColourPalette: {1, 2, 4, 8},
		ColourGreyAlpha: {8, 16}, ColourRGBA: {8, 16}}
)

// HeaderSize is the length of the data of an IHDR chunk, in bytes.
const HeaderSize = 13

// Header has what the IHDR chunk of a file says.
type Header struct {
	Width, Height int  // in pixels
	Depth         byte // bits of a sample
	Colour        byte // the colour type
	Interlaced    bool
}

// ParseHeader parses the data of an IHDR chunk, which is HeaderSize bytes long. It returns an error for values that the
// format does not allow.
func ParseHeader(b []byte) (Header, error) {
	width, height := int32(binary.BigEndian.Uint32(b)), int32(binary.BigEndian.Uint32(b[4:]))
	h := Header{Width: int(width), Height: int(height), Depth: b[8], Colour: b[9], Interlaced: b[12] == 1}
	if !slices.Contains(depths[h.Colour], h.Depth) || b[10] != 0 || b[11] != 0 || b[12] > 1 {
		return Header{}, fmt.Errorf("invalid header: colour type %d, depth %d, methods % x", h.Colour, h.Depth, b[10:13])
	}
	const most = 1 << 60 // image/png refuses images of more than 2^63 bytes
	if width <= 0 || height <= 0 || int64(width)*int64(height) >= most {
		return Header{}, fmt.Errorf("invalid size: %d x %d", width, height)
	}
	return h, nil
}

// bits returns the bits of a pixel in the file.
func (h Header) bits() int { return channels[h.Colour] * int(h.Depth) }

// RowSize returns the bytes that a row of width pixels has in the file, before compression: its filter and its samples.
func (h Header) RowSize(width int) int { return 1 + (h.bits()*width+7)/8 }

// Layout returns the layout of the rows that Reader makes of the picture. With a tRNS chunk, grey and RGB get an alpha
// channel.
func (h Header) Layout(tRNS bool) Layout {
	switch {
	case h.Colour == ColourPalette, h.Colour == ColourGrey && !tRNS:
		return Palette
	case h.Colour == ColourRGB && !tRNS:
		return RGB
	}
	return RGBA
}

// header has what precedes the picture.
type header struct {
	Header
	palette     []byte       // RGBA of every index that the depth allows
	transparent []byte       // the 16-bit samples of the transparent colour of a grey or RGB picture
	deep        *deepColours // nil without Reader.Convert16
}

// layout returns the layout of the rows.
func (h *header) layout() Layout { return h.Layout(h.transparent != nil) }

// readHeader reads the IHDR chunk.
func (c *chunks) readHeader() error {
	if c.left != HeaderSize {
		return errors.New("the IHDR chunk has an invalid length")
	}
	b, err := c.body()
	if err != nil {
		return err
	}
	h, err := ParseHeader(b)
	if err != nil {
		return err
	}
	c.header = header{Header: h}
	if h.Colour == ColourGrey {
		c.header.palette = greys(h.Depth)
	}
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
	size := 1 << min(h.Depth, 8)
	n := int(c.left / 3)
	if c.left%3 != 0 || n == 0 || n > size {
		return errors.New("the PLTE chunk has an invalid length")
	}
	if h.Colour == ColourGrey || h.Colour == ColourGreyAlpha {
		return errors.New("a grey picture has a PLTE chunk")
	}
	b, err := c.body()
	if err != nil || h.Colour != ColourPalette {
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

// readTransparency reads a tRNS chunk: the alpha of the palette, or the one colour that is transparent. A chunk with a
// wrong checksum is passed over.
func (c *chunks) readTransparency() error {
	h := &c.header
	var valid bool
	switch h.Colour {
	case ColourPalette:
		valid = c.left <= 256
	case ColourGrey, ColourRGB:
		valid = int(c.left) == 2*channels[h.Colour]
	}
	if !valid {
		return errors.New("the tRNS chunk has an invalid length")
	}
	b, err := c.body()
	if err == errChecksum {
		c.mend(ErrTransparency)
		return nil
	}
	if err != nil {
		return err
	}
	if h.Colour != ColourPalette {
		h.transparent = slices.Clone(b)
		return nil
	}
	for i := range min(len(b), len(h.palette)/4) {
		h.palette[4*i+3] = b[i]
	}
	return nil
}
