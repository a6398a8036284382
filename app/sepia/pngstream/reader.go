package pngstream

import (
	"errors"
	"fmt"
	"io"
)

// Reader decodes a PNG. It accepts what image/png accepts, and files whose picture is complete although they have a
// fault elsewhere, see Mended. It needs memory for three rows, and for the whole picture in 8 bits if that is
// interlaced.
type Reader struct {
	chunks  *chunks
	inflate *inflater
	layout  Layout
	rows    *rows      // nil before the first row
	whole   *interlace // the picture if it is interlaced
	y       int        // the next row
	err     error
}

var (
	errShort = errors.New("not enough pixel data")
	errLong  = errors.New("too much pixel data")
)

// The faults that Mended returns.
var (
	ErrNoEnd        = errors.New("the file ends before its end is marked")
	ErrTail         = errors.New("the data behind the picture is damaged")
	ErrTransparency = errors.New("the transparency is damaged")
)

// NewReader reads the chunks before the picture. It makes reads of at most 4 KiB. Errors of r are returned wrapped.
func NewReader(r io.Reader) (*Reader, error) {
	c := &chunks{r: fileReader{r: r}}
	z, err := c.open()
	if err != nil {
		return nil, wrap(err)
	}
	return &Reader{chunks: c, inflate: z, layout: c.header.layout()}, nil
}

// open reads up to the data of the picture.
func (c *chunks) open() (*inflater, error) {
	b := c.scratch[:len(Signature)]
	if _, err := io.ReadFull(&c.r, b); err != nil {
		return nil, err
	}
	if string(b) != Signature {
		return nil, errors.New("not a PNG")
	}
	if err := c.readUntil(afterIDAT); err != nil {
		return nil, err
	}
	return newInflater(c)
}

func wrap(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("png: %w", err)
}

// Width returns the pixels of a row.
func (r *Reader) Width() int { return r.chunks.header.Width }

// Height returns the number of rows.
func (r *Reader) Height() int { return r.chunks.header.Height }

// Layout returns what Row returns for each pixel.
func (r *Reader) Layout() Layout { return r.layout }

// Palette returns the colours of a picture with the layout Palette, four bytes each, RGBA with straight alpha. It has
// all indexes that the depth of the file allows: 2, 4, 16 or 256.
func (r *Reader) Palette() []byte { return r.chunks.header.palette }

// Mended returns the fault of a file whose picture is complete nevertheless: ErrNoEnd, ErrTail or ErrTransparency. It
// is nil if there is none. It counts after the last row.
func (r *Reader) Mended() error { return r.chunks.mended }

// Row returns the next row, which is valid until the next call. With the last row the rest of the file has been
// verified; after it Row returns io.EOF. Of an interlaced picture the first call decodes everything.
func (r *Reader) Row() ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	row, err := r.next()
	if err != nil {
		r.err = wrap(err)
		return nil, r.err
	}
	if r.y++; r.y == r.Height() {
		r.err = io.EOF
	}
	return row, nil
}

func (r *Reader) next() ([]byte, error) {
	h := &r.chunks.header
	if r.rows == nil {
		r.rows = newRows(r.inflate, h, r.layout)
		if h.Interlaced {
			r.whole = newInterlace(h, r.layout)
			if err := r.whole.decode(r.rows); err != nil {
				return nil, err
			}
			if err := r.finish(); err != nil {
				return nil, err
			}
		}
	}
	if h.Interlaced {
		return r.whole.take(r.y), nil
	}
	row, err := r.rows.next()
	if err == nil && r.y == h.Height-1 {
		err = r.finish()
	}
	return row, err
}

// finish verifies what follows the last row. A wrong checksum means that the picture is damaged, another fault that the
// file was cut or extended behind it.
func (r *Reader) finish() error {
	c := r.chunks
	err := r.tail()
	switch {
	case err == nil:
		return nil
	case c.r.err != nil:
		return c.r.err
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		c.mend(ErrNoEnd)
	case c.verified || err == errLong || err == errShort:
		c.mend(ErrTail)
	default:
		return err
	}
	return nil
}

// tail reads to the end of the file.
func (r *Reader) tail() error {
	var b [1]byte
	switch _, err := io.ReadFull(r.inflate, b[:]); {
	case err == nil || err == io.EOF && r.chunks.left != 0:
		return errLong
	case err != io.EOF:
		return err
	}
	if err := r.chunks.verify(); err != nil {
		return err
	}
	r.chunks.verified = true
	return r.chunks.readUntil(afterIEND)
}
