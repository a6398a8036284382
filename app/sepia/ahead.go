package sepia

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// Rows are read ahead in bands of about aheadSize bytes, of which there are aheadBands.
const (
	aheadSize  = 256 << 10
	aheadBands = 3
)

// rowBand has some whole rows of a photo.
type rowBand struct {
	pix    []byte
	unread []byte // of pix
	err    error  // after these rows
	failed any    // value of a panic
}

// ahead returns the same rows, which a goroutine reads ahead if there is a core for it. stop ends and awaits it.
func (s rowSource) ahead() (source rowSource, stop func()) {
	if runtime.GOMAXPROCS(0) == 1 || s.size() <= aheadSize {
		return s, func() {}
	}
	row := s.width * s.layout.Channels()
	free, full := make(chan *rowBand, aheadBands), make(chan *rowBand, aheadBands)
	for range aheadBands {
		free <- &rowBand{pix: make([]byte, max(1, aheadSize/row)*row)}
	}
	go func() {
		defer close(full)
		rows := s.height
		for b := range free {
			rows -= b.fill(s.next, row, rows)
			full <- b
			if rows == 0 || b.err != nil || b.failed != nil {
				return
			}
		}
	}()
	source = s
	source.next = nextOf(free, full, row)
	return source, func() {
		close(free)
		for range full {
		}
	}
}

// nextOf returns a function that returns the rows of full bands one by one, and gives the bands back.
func nextOf(free chan<- *rowBand, full <-chan *rowBand, row int) func() ([]byte, error) {
	b := new(rowBand)
	return func() ([]byte, error) {
		if len(b.unread) == 0 {
			if b.err != nil {
				return nil, b.err
			}
			if b.pix != nil {
				free <- b
			}
			next, ok := <-full
			if !ok {
				return nil, io.EOF // never asked for
			}
			if b = next; b.failed != nil {
				panic(b.failed)
			}
			if len(b.unread) == 0 {
				return nil, b.err
			}
		}
		first := b.unread[:row]
		b.unread = b.unread[row:]
		return first, nil
	}
}

// fill reads up to most rows and returns their number. It stores a panic, which is repeated in the goroutine of Apply.
func (b *rowBand) fill(next func() ([]byte, error), row, most int) (rows int) {
	defer func() {
		if v := recover(); v != nil {
			b.failed = fmt.Sprintf("%v\n%s", v, debug.Stack())
		}
	}()
	b.unread = b.pix[:0]
	for rows < most && len(b.unread) < len(b.pix) {
		r, err := next()
		if err != nil {
			b.err = err
			return rows
		}
		b.unread = append(b.unread, r[:row]...)
		rows++
	}
	return rows
}
