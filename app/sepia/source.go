package sepia

import (
	"bufio"
	"errors"
	"io"
)

// source reads a header piece by piece. Its errors are io.ErrUnexpectedEOF where the data ends, else the reader's.
type source struct {
	r   *bufio.Reader
	pos int64 // of the next byte
}

// sourceBuffer is larger than every fixed piece of a header.
const sourceBuffer = 16 << 10

func newSource(r io.Reader) *source { return &source{r: bufio.NewReaderSize(r, sourceBuffer)} }

// peek returns up to n of the next bytes without reading them; fewer where the data ends.
func (s *source) peek(n int) ([]byte, error) {
	b, err := s.r.Peek(n)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

// next returns the next n bytes, valid until the next call.
func (s *source) next(n int) ([]byte, error) {
	b, err := s.r.Peek(n)
	if err != nil {
		return nil, short(err)
	}
	return b, s.skip(int64(n))
}

// skip passes over n bytes.
func (s *source) skip(n int64) error {
	for n > 0 {
		done, err := s.r.Discard(int(min(n, 1<<30))) // int may have 32 bits, a chunk's length has 32 too
		s.pos += int64(done)
		n -= int64(done)
		if err != nil {
			return short(err)
		}
	}
	return nil
}

// block returns a copy of the next n bytes, but at most the first limit of them, and passes over all. It grows
// with the data, not with n.
func (s *source) block(n, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(s.r, min(n, limit)))
	s.pos += int64(len(b))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) < min(n, limit) {
		return nil, io.ErrUnexpectedEOF
	}
	return b, s.skip(n - int64(len(b)))
}

// past passes over everything up to the next c, and over c itself.
func (s *source) past(c byte) error {
	for {
		b, err := s.r.ReadSlice(c)
		s.pos += int64(len(b))
		if !errors.Is(err, bufio.ErrBufferFull) {
			return short(err)
		}
	}
}

func short(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
