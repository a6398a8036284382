package pngstream

import (
	"compress/flate"
	"encoding/binary"
	"io"
	"sync"

	fast "github.com/klauspost/compress/flate"
)

// deflater writes a zlib stream. For each block it chooses between matches, without which flat graphics would be up to
// ten times as large, and Huffman codes only, which take a sixth of the time and make a photo 5 % larger. Matches are
// those of the standard library: flat graphics are up to a fifth smaller than with the faster klauspost/compress.
type deflater struct {
	w       io.Writer
	indexes bool // the data are indexes of a palette, which have more matches than they show to choose
	sum     uint32
	line    int           // bytes of a line: a filtered row and, before it, the filter
	block   []byte        // lines that are not compressed yet, and a margin
	filled  int           // bytes of block
	huffman *fast.Writer  // nil before the first block that needs it
	matches *flate.Writer // the same
	current compressor    // of the previous block
}

// compressor is a *flate.Writer of one of the libraries.
type compressor interface {
	io.WriteCloser
	Flush() error
	Reset(w io.Writer)
}

// blockSize is about the size of a block, of whole lines. It is small enough for a screenshot within a photo, and large
// compared with the cost of a change: 5 bytes and the repetitions of what precedes it.
const blockSize = 128 << 10

// newDeflater returns a deflater for lines of a fixed length.
func newDeflater(w io.Writer, line, lines int, indexes bool) *deflater {
	block := make([]byte, min(lines, max(1, blockSize/line))*line+margin)
	return &deflater{w: w, indexes: indexes, sum: 1, line: line, block: block}
}

// next returns memory for a line, with a margin. If there is none left, it compresses the current block before.
func (d *deflater) next() ([]byte, error) {
	if d.filled+d.line+margin > len(d.block) {
		if err := d.compress(); err != nil {
			return nil, err
		}
	}
	line := d.block[d.filled:][:d.line+margin]
	d.filled += d.line
	return line, nil
}

// compress compresses the current block.
func (d *deflater) compress() error {
	block := d.block[:d.filled]
	d.filled = 0
	d.sum = adler(d.sum, block)
	next := d.choose(block)
	if next != d.current {
		if err := d.change(next); err != nil {
			return err
		}
	}
	_, err := next.Write(block)
	return err
}

// change ends the output of a compressor at a whole byte and goes on with another.
func (d *deflater) change(next compressor) error {
	var err error
	if d.current != nil {
		err = d.current.Flush()
	} else {
		_, err = d.w.Write([]byte{0x78, 0x01}) // a window of 32 KiB, the fastest level
	}
	next.Reset(d.w)
	d.current = next
	return err
}

// choose returns the compressor for the current block. It counts the words that are equal to the one 24 bytes before,
// a whole number of pixels in every layout: in flat areas all are, in photos hardly any.
func (d *deflater) choose(block []byte) compressor {
	const period, step = 24, 32
	repeated, all := 0, 0
	for i := period; i+8 <= len(block); i += step {
		all++
		if word(block[i:]) == word(block[i-period:]) {
			repeated++
		}
	}
	// The constructors fail for invalid levels only.
	if repeated <= all/4 && !d.indexes {
		if d.huffman == nil {
			d.huffman, _ = fast.NewWriter(nil, fast.HuffmanOnly)
		}
		return d.huffman
	}
	if d.matches == nil {
		d.matches = matchers.Get().(*flate.Writer)
	}
	return d.matches
}

// matchers reuses the large tables for matches.
var matchers = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed)
	return w
}}

// Close compresses the last block and writes the end of the stream.
func (d *deflater) Close() error {
	if err := d.compress(); err != nil {
		return err
	}
	if err := d.current.Close(); err != nil {
		return err
	}
	if d.matches != nil {
		d.matches.Reset(nil) // the pool must not keep what w has
		matchers.Put(d.matches)
	}
	_, err := d.w.Write(binary.BigEndian.AppendUint32(nil, d.sum))
	return err
}
