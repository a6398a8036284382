package sepia

import (
	"context"
	"io"

	"imagery/app/imagery"
)

// chunkSize is the size of a chunk in bytes. The last one may be nearly empty.
const chunkSize = 64 << 10

// chunks are the bytes of a result. All but the last chunk have chunkSize bytes. A single slice would have to be
// allocated before its length is known, or copied when it grows.
type chunks [][]byte

// ReadAt implements io.ReaderAt for offsets that are not negative.
func (c chunks) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		i, from := off/chunkSize, off%chunkSize
		if i >= int64(len(c)) || from >= int64(len(c[i])) {
			return n, io.EOF
		}
		k := copy(p[n:], c[i][from:])
		n, off = n+k, off+int64(k)
	}
	return n, nil
}

// sink stores the output of an encoder.
type sink struct {
	ctx    context.Context
	chunks chunks
	size   int64
	free   chunks // chunks to use before others are allocated
}

// chunk returns an empty chunk.
func (s *sink) chunk() []byte {
	n := len(s.free)
	if n == 0 {
		return make([]byte, 0, chunkSize)
	}
	c := s.free[n-1]
	s.free = s.free[:n-1]
	return c[:0]
}

// Write fails once the context has ended, which stops the encoder.
func (s *sink) Write(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	s.size += int64(len(p))
	for rest := p; len(rest) > 0; {
		if len(s.chunks) == 0 || len(s.chunks[len(s.chunks)-1]) == chunkSize {
			s.chunks = append(s.chunks, s.chunk())
		}
		last := &s.chunks[len(s.chunks)-1]
		n := min(len(rest), chunkSize-len(*last))
		*last = append(*last, rest[:n]...)
		rest = rest[n:]
	}
	return len(p), nil
}

// result returns what was written, as a JPEG or PNG.
func (s *sink) result(jpeg bool) imagery.Result {
	body := io.NewSectionReader(s.chunks, 0, s.size)
	if jpeg {
		return imagery.Result{Body: body, Ext: "jpg", ContentType: "image/jpeg"}
	}
	return imagery.Result{Body: body, Ext: "png", ContentType: "image/png"}
}
