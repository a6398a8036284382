package pngstream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Writer encodes a PNG with 8 bits per sample. It needs memory for two rows and for the compressor. The bytes that it
// writes depend on the rows only.
type Writer struct {
	data     *idat
	deflate  *deflater
	filter   *filter // nil if neighbouring bytes need not be alike
	row      int     // bytes of a row
	rowsLeft int
}

// NewWriter writes everything that precedes the rows. The palette has up to 256 colours as RGBA with straight alpha,
// four bytes each, and is nil for the other layouts. Errors of w are returned wrapped, here and by the methods.
func NewWriter(w io.Writer, width, height int, layout Layout, palette []byte) (*Writer, error) {
	if width <= 0 || height <= 0 || width > 1<<31-1 || height > 1<<31-1 {
		return nil, fmt.Errorf("png: invalid size %d x %d", width, height)
	}
	if n := len(palette) / 4; layout == Palette && (n == 0 || n > 256) {
		return nil, fmt.Errorf("png: a palette of %d colours", n)
	}
	if _, err := w.Write(head(width, height, layout, palette)); err != nil {
		return nil, fmt.Errorf("png: %w", err)
	}
	data := &idat{w: w, buf: make([]byte, chunkHead)}
	indexes := layout == Palette && !ascending(palette)
	s := &Writer{data: data, row: width * layout.Channels(), rowsLeft: height}
	s.deflate = newDeflater(data, 1+s.row, height, indexes)
	if !indexes {
		s.filter = newFilter(s.row, layout.Channels())
	}
	return s, nil
}

// ascending reports whether the palette is that of a grey photo, so that similar indexes have similar colours.
func ascending(palette []byte) bool {
	for i := 4; i < len(palette); i += 4 {
		if palette[i+1] < palette[i-3] {
			return false
		}
	}
	return len(palette) == 4*256
}

// head returns the chunks before the data.
func head(width, height int, layout Layout, palette []byte) []byte {
	colour := [...]byte{Palette: ColourPalette, RGB: ColourRGB, RGBA: ColourRGBA}[layout]
	ihdr := binary.BigEndian.AppendUint32(nil, uint32(width))
	ihdr = binary.BigEndian.AppendUint32(ihdr, uint32(height))
	b := appendChunk([]byte(Signature), "IHDR", append(ihdr, 8, colour, 0, 0, 0))
	if layout != Palette {
		return b
	}
	var plte, trns []byte
	opaque := 0 // the alpha of the last colours may be left out if it is 255
	for i := 0; i+4 <= len(palette); i += 4 {
		plte, trns = append(plte, palette[i:i+3]...), append(trns, palette[i+3])
		if palette[i+3] != 255 {
			opaque = len(trns)
		}
	}
	b = appendChunk(b, "PLTE", plte)
	if opaque > 0 {
		b = appendChunk(b, "tRNS", trns[:opaque])
	}
	return b
}

// Buffer returns memory in which the caller may prepare the next row for Row, which then need not copy it. There is
// none for the layout Palette.
func (s *Writer) Buffer() []byte {
	if s.filter == nil {
		return nil
	}
	return s.filter.buffer()
}

// Row writes the next row in the layout of the Writer.
func (s *Writer) Row(row []byte) error {
	if len(row) != s.row || s.rowsLeft == 0 {
		return errors.New("png: a row too many, or of the wrong length")
	}
	s.rowsLeft--
	line, err := s.deflate.next()
	if err != nil {
		return fmt.Errorf("png: %w", err)
	}
	if s.filter != nil {
		s.filter.next(line, row)
	} else {
		line[0] = filterNone
		copy(line[1:], row)
	}
	return nil
}

// Close writes the end of the file. It fails if rows are missing.
func (s *Writer) Close() error {
	if s.rowsLeft > 0 {
		return fmt.Errorf("png: %d rows are missing", s.rowsLeft)
	}
	err := s.deflate.Close()
	if err == nil {
		err = s.data.flush()
	}
	if err == nil {
		_, err = s.data.w.Write(appendChunk(nil, "IEND", nil))
	}
	if err != nil {
		return fmt.Errorf("png: %w", err)
	}
	return nil
}

// appendChunk appends a chunk to b.
func appendChunk(b []byte, name string, body []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	start := len(b)
	b = append(append(b, name...), body...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[start:]))
}

// idatSize is the data of an IDAT chunk, except the last.
const idatSize = 64 << 10

// idat writes compressed data in IDAT chunks.
type idat struct {
	w   io.Writer
	buf []byte // the current chunk: length, name and data
}

const chunkHead = 8

func (d *idat) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), chunkHead+idatSize-len(d.buf))
		d.buf, rest = append(d.buf, rest[:n]...), rest[n:]
		if len(d.buf) == chunkHead+idatSize {
			if err := d.flush(); err != nil {
				return 0, err
			}
		}
	}
	return len(p), nil
}

// flush writes the current chunk, unless it is empty.
func (d *idat) flush() error {
	n := len(d.buf) - chunkHead
	if n == 0 {
		return nil
	}
	binary.BigEndian.PutUint32(d.buf, uint32(n))
	copy(d.buf[4:], "IDAT")
	b := binary.BigEndian.AppendUint32(d.buf, crc32.ChecksumIEEE(d.buf[4:]))
	d.buf = d.buf[:chunkHead]
	_, err := d.w.Write(b)
	return err
}
