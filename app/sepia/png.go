package sepia

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"imagery/app/sepia/pngstream"
)

// pngSignature precedes the first chunk.
const pngSignature = "\x89PNG\r\n\x1a\n"

// The colour types of a PNG.
const (
	pngGrey      = 0
	pngRGB       = 2
	pngPalette   = 3
	pngGreyAlpha = 4
	pngRGBA      = 6
)

// pngChannels has the samples per pixel of each colour type, pngDepths the valid bits per sample.
var (
	pngChannels = map[byte]int64{pngGrey: 1, pngRGB: 3, pngPalette: 1, pngGreyAlpha: 2, pngRGBA: 4}
	pngDepths   = map[byte][]byte{pngGrey: {1, 2, 4, 8, 16}, pngRGB: {8, 16}, pngPalette: {1, 2, 4, 8},
		pngGreyAlpha: {8, 16}, pngRGBA: {8, 16}}
)

// pngHeader has the properties that determine the memory for processing.
type pngHeader struct {
	width, height    int
	depth, colour    byte
	interlaced       bool
	orientation      int
	transparentColor bool // has a tRNS chunk, by which grey and RGB get an alpha channel
}

// readPNG reads the IHDR chunk, which is the whole header, and searches the other chunks for an orientation.
func readPNG(s *source, maxPixels int64) (Photo, error) {
	h, err := readIHDR(s, maxPixels)
	if err != nil {
		return Photo{}, err
	}
	h.orientation, err = h.readChunks(s)
	// A file that ends after IHDR has a valid header. If it is not a prefix, the decoder fails.
	if err != nil && !ofTheBody(err) {
		return Photo{}, err
	}
	at := func(width, height int) cost {
		scaled := h
		scaled.width, scaled.height = width, height
		return scaled.cost()
	}
	return Photo{Width: h.width, Height: h.height, Orientation: h.orientation, held: h.held(), cost: h.cost(),
		at: at}, nil
}

// readIHDR rejects what the decoder would reject, and checks the size first because it gives the most useful error.
func readIHDR(s *source, maxPixels int64) (pngHeader, error) {
	const length = 13
	if err := s.skip(int64(len(pngSignature))); err != nil {
		return pngHeader{}, err
	}
	b, err := s.next(8 + length)
	if err != nil {
		return pngHeader{}, err
	}
	if binary.BigEndian.Uint32(b) != length || string(b[4:8]) != "IHDR" {
		return pngHeader{}, unreadable("This PNG is damaged.", errors.New("no IHDR chunk"))
	}
	sum, b := crc32.ChecksumIEEE(b[4:]), b[8:]
	width, height := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if err := checkSize(width, height, maxPixels); err != nil {
		return pngHeader{}, err
	}
	h := pngHeader{width: int(width), height: int(height), depth: b[8], colour: b[9], interlaced: b[12] == 1}
	if !slices.Contains(pngDepths[h.colour], h.depth) || b[10] != 0 || b[11] != 0 || b[12] > 1 {
		return pngHeader{}, unreadable("This PNG has an invalid header.",
			fmt.Errorf("colour type %d, depth %d, methods % x", h.colour, h.depth, b[10:13]))
	}
	b, err = s.next(4)
	if err != nil {
		return pngHeader{}, err
	}
	if binary.BigEndian.Uint32(b) != sum {
		return pngHeader{}, unreadable("This PNG is damaged.", errors.New("checksum of the IHDR chunk"))
	}
	return h, nil
}

// readChunks reads to the end of the file, because EXIF may follow the image.
func (h *pngHeader) readChunks(s *source) (orientation int, err error) {
	for {
		b, err := s.next(8)
		if err != nil {
			return orientation, err
		}
		n := int64(binary.BigEndian.Uint32(b))
		switch string(b[4:8]) {
		case "eXIf":
			exif, err := s.block(n, exifLimit)
			if err != nil {
				return orientation, err
			}
			orientation, n = exifOrientation(exif), 0
		case "tRNS":
			// The checksum is not verified here: a damaged chunk only makes the estimate too high.
			h.transparentColor = h.colour == pngGrey || h.colour == pngRGB
		case "IEND":
			return orientation, nil
		}
		const checksum = 4
		if err := s.skip(n + checksum); err != nil {
			return orientation, err
		}
	}
}

// held reports whether the whole photo must be in memory.
func (h *pngHeader) held() bool { return h.interlaced || h.orientation > 1 }

// cost returns the memory of streamPNG: two rows of the file, its converted and filtered row, those read ahead and
// those of the encoder, and possibly the photo in 8 bits. That is released while the result grows, which is not larger;
// a quarter more for garbage, see collector.
func (h *pngHeader) cost() cost {
	pixels, width := int64(h.width)*int64(h.height), int64(h.width)
	row := (pngChannels[h.colour]*int64(h.depth)*width+7)/8 + 1
	layout := pngstream.RGBA
	switch {
	case h.transparentColor:
	case h.colour == pngGrey, h.colour == pngPalette:
		layout = pngstream.Palette
	case h.colour == pngRGB:
		layout = pngstream.RGB
	}
	n := int64(layout.Channels())
	longest := width
	if h.orientation >= 5 {
		longest = max(width, int64(h.height))
	}
	const rows = 6 + aheadBlocks
	c := cost{image: 2*row + rows*n*longest, result: n}
	c.decode = c.image
	if h.held() {
		c.decode += n*pixels*5/4 + bands(width, pixels)
	}
	return c
}
