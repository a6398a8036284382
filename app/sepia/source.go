package sepia

import (
	"bufio"
	"errors"
	"io"
)

// source reads a header piece by piece. It returns io.ErrUnexpectedEOF at the end of the data, or an error of the
// reader.
type source struct {
	r   *bufio.Reader
	pos int64 // of the next byte
}

// sourceBuffer is larger than every fixed-size part of a header.
const sourceBuffer = 16 << 10

func newSource(r io.Reader) *source { return &source{r: bufio.NewReaderSize(r, sourceBuffer)} }

// peek returns the next n bytes without consuming them, or fewer at the end of the data.
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

// skip discards n bytes.
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

// block consumes the next n bytes and returns a copy of the first limit of them. It allocates as the data arrives,
// because n may be wrong.
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

// past discards everything up to and including the next c.
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
