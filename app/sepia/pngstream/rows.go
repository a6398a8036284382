package pngstream

import (
	"errors"
	"io"
)

// rows decodes rows of a picture, or of a pass of an interlaced one.
type rows struct {
	r         io.Reader
	header    Header
	distance  int       // from a byte to that of the pixel to its left, for filters
	highOnly  bool      // drop the low bytes of 16-bit samples
	cur, prev []byte    // rows of the file, with the byte of the filter
	full      [2][]byte // memory of cur and prev
	out       []byte    // the converted row, if it differs from the unfiltered one
	convert   func(dst, src []byte)
	channels  int // bytes of a pixel in out
}

func newRows(r io.Reader, h *header, layout Layout) *rows {
	s := &rows{r: r, header: h.Header, distance: (h.bits() + 7) / 8, channels: layout.Channels(), convert: converter(h)}
	if s.highOnly = h.Depth == 16 && h.transparent == nil && h.deep == nil; s.highOnly {
		s.distance /= 2
	}
	size := h.RowSize(h.Width)
	s.full = [2][]byte{make([]byte, size), make([]byte, size)}
	if s.convert != nil {
		s.out = make([]byte, h.Width*s.channels)
	}
	s.start(h.Width)
	return s
}

// start begins a pass whose rows have width pixels.
func (s *rows) start(width int) {
	size := s.header.RowSize(width)
	s.cur, s.prev = s.full[0][:size], s.full[1][:size]
	clear(s.prev)
	if s.out != nil {
		s.out = s.out[:width*s.channels]
	}
}

// next returns a row in 8-bit samples, which is valid until the next call.
func (s *rows) next() ([]byte, error) {
	switch _, err := io.ReadFull(s.r, s.cur); {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return nil, errShort
	case err != nil:
		return nil, err
	}
	filter, row := s.cur[0], s.cur[1:]
	if s.highOnly { // filters do not mix the high and the low bytes
		row = highBytes(row)
	}
	if !unfilter(filter, row, s.prev[1:], s.distance) {
		return nil, errors.New("invalid filter")
	}
	s.cur, s.prev = s.prev, s.cur
	if s.convert == nil {
		return row, nil
	}
	s.convert(s.out, row)
	return s.out, nil
}
