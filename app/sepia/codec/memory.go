package codec

import (
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"imagery/app/sepia/heif"
)

// limiter is the memory of one instance, outside of Go's heap: it is returned to the system with its picture, and only
// pages that were used count.
type limiter struct {
	memory   []byte // as large as the limit, since its addresses must not change
	exceeded bool   // more was asked for
}

// newLimiter reserves that many bytes for an instance. The caller must release them.
func newLimiter(limit int64, code wazero.CompiledModule) (*limiter, error) {
	n := min(limit, maxMemory)
	for _, m := range code.ExportedMemories() {
		if first := int64(m.Min()) * pageSize; first > n {
			return nil, fmt.Errorf("%w: it begins with %d KiB", ErrMemory, first>>10)
		}
	}
	memory, err := reserve(int(n))
	if err != nil {
		return nil, fmt.Errorf("reserve %d MiB for a decoder: %w", n>>20, err)
	}
	return &limiter{memory: memory}, nil
}

// Allocate returns the memory that was reserved.
func (l *limiter) Allocate(_, _ uint64) experimental.LinearMemory { return l }

// Reallocate returns the first size bytes, or nil if they exceed the limit.
func (l *limiter) Reallocate(size uint64) []byte {
	if size > uint64(len(l.memory)) {
		l.exceeded = true
		return nil
	}
	return l.memory[:size]
}

// Free does nothing: the memory is released when the instance has ended, whether it was closed or not.
func (l *limiter) Free() {}

// Memory returns the limit of Decode for a picture of that many pixels. Pictures of 12 megapixels need at most 167 MiB
// (HEIC), 251 MiB (AVIF), and 500 MiB (AVIF of 10 bits with full chroma).
func Memory(format heif.Format, pixels int64, deep bool) int64 {
	perPixel := int64(18)
	switch {
	case format == heif.AVIF && deep:
		perPixel = 48
	case format == heif.AVIF:
		perPixel = 28
	}
	return 16<<20 + perPixel*pixels
}
