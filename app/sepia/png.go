package sepia

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"imagery/app/sepia/pngstream"
)

// pngHeader has the properties that determine the memory for processing.
type pngHeader struct {
	pngstream.Header
	orientation int
	tRNS        bool // there is a tRNS chunk
	colours     colours
}

// readPNG reads the IHDR chunk, which is the whole header, and searches the other chunks for an orientation.
func readPNG(s *source, maxPixels int64) (Photo, error) {
	h, err := readIHDR(s, maxPixels)
	if err != nil {
		return Photo{}, err
	}
	h.orientation, err = h.readChunks(s)
	h.colours.settle()
	// A file that ends after IHDR has a valid header. If it is not a prefix, the decoder fails.
	if err != nil && !ofTheBody(err) {
		return Photo{}, err
	}
	at := func(width, height int) cost {
		scaled := h
		scaled.Width, scaled.Height = width, height
		return scaled.cost()
	}
	return Photo{Width: h.Width, Height: h.Height, Orientation: h.orientation, held: h.held(), cost: h.cost(),
		at: at, colours: h.colours}, nil
}

// readIHDR rejects what the decoder would reject, and checks the size first because it gives the most useful error.
func readIHDR(s *source, maxPixels int64) (pngHeader, error) {
	if err := s.skip(int64(len(pngstream.Signature))); err != nil {
		return pngHeader{}, err
	}
	b, err := s.next(8 + pngstream.HeaderSize)
	if err != nil {
		return pngHeader{}, err
	}
	if binary.BigEndian.Uint32(b) != pngstream.HeaderSize || string(b[4:8]) != "IHDR" {
		return pngHeader{}, unreadable("This PNG is damaged.", errors.New("no IHDR chunk"))
	}
	sum, b := crc32.ChecksumIEEE(b[4:]), b[8:]
	if err := checkSize(binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), maxPixels); err != nil {
		return pngHeader{}, err
	}
	h, err := pngstream.ParseHeader(b)
	if err != nil {
		return pngHeader{}, unreadable("This PNG has an invalid header.", err)
	}
	b, err = s.next(4)
	if err != nil {
		return pngHeader{}, err
	}
	if binary.BigEndian.Uint32(b) != sum {
		return pngHeader{}, unreadable("This PNG is damaged.", errors.New("checksum of the IHDR chunk"))
	}
	p := pngHeader{Header: h}
	p.colours.channels = 3
	if h.Colour == pngstream.ColourGrey || h.Colour == pngstream.ColourGreyAlpha {
		p.colours.channels = 1
	}
	return p, nil
}

// readChunks reads to the end of the file, because EXIF may follow the image. Chunks that describe colours precede the
// palette and the image.
func (h *pngHeader) readChunks(s *source) (orientation int, err error) {
	const checksum = 4
	for late := false; ; {
		b, err := s.next(8)
		if err != nil {
			return orientation, err
		}
		n := int64(binary.BigEndian.Uint32(b))
		switch name := string(b[4:8]); name {
		case "PLTE", "IDAT":
			late = true
		case "cICP", "iCCP", "sRGB", "gAMA", "cHRM":
			data, err := s.peek(tagSize)
			if err != nil {
				return orientation, err
			}
			if !late {
				h.colours.addChunk(name, data, s.pos, n)
			}
		case "eXIf":
			exif, err := s.block(n, exifLimit)
			if err != nil {
				return orientation, err
			}
			orientation, n = exifOrientation(exif), 0
		case "tRNS":
			// The checksum is not verified here: a damaged chunk only makes the estimate too high.
			h.tRNS = true
		case "IEND":
			return orientation, nil
		}
		if err := s.skip(n + checksum); err != nil {
			return orientation, err
		}
	}
}

// held reports whether the whole photo must be in memory.
func (h *pngHeader) held() bool { return h.Interlaced || h.orientation > 1 }

// cost returns the memory of streamPNG: two rows of the file, its converted and filtered row, those read ahead and
// those of the encoder, and possibly the photo in 8 bits. That is released while the result grows, which is not larger;
// a quarter more for garbage, see collector.
func (h *pngHeader) cost() cost {
	pixels, width := int64(h.Width)*int64(h.Height), int64(h.Width)
	row, n := int64(h.RowSize(h.Width)), int64(h.Layout(h.tRNS).Channels())
	if h.Depth == 16 && h.colours.described() {
		n = max(n, 3) // see pngstream.Reader.Convert16
	}
	longest := width
	if h.orientation >= 5 {
		longest = max(width, int64(h.Height))
	}
	const rows = 6 + aheadBands
	c := cost{image: 2*row + rows*n*longest, result: n}
	c.decode = c.image
	if h.held() {
		c.decode += n*pixels*5/4 + bands(width, pixels)
	}
	return c
}
