package heif

import (
	"encoding/binary"
	"fmt"
	"io"
	"iter"
)

// box is a part of a file with a type of four characters.
type box struct {
	kind string
	body []byte
}

// headLen is the longest head of a box: its length and type, and a length of 64 bits. A type of 16 more bytes, after
// "uuid", counts as the body.
const headLen = 16

// parseHead returns the type of the box that begins at b, the length of its head, and that of its body, which is
// negative if the box extends to the end of what contains it.
func parseHead(b []byte) (kind string, head int, body int64, err error) {
	if len(b) < 8 {
		return "", 0, 0, io.ErrUnexpectedEOF
	}
	kind, head = string(b[4:8]), 8
	size := uint64(binary.BigEndian.Uint32(b))
	switch size {
	case 0:
		return kind, head, -1, nil
	case 1:
		if head = headLen; len(b) < headLen {
			return "", 0, 0, io.ErrUnexpectedEOF
		}
		size = binary.BigEndian.Uint64(b[8:])
	}
	const most = 1 << 62 // a position in a file and a length can be added
	if size < uint64(head) || size > most {
		return "", 0, 0, fmt.Errorf("the box %q has an invalid length", kind)
	}
	return kind, head, int64(size) - int64(head), nil
}

// boxes returns the boxes in the body of another. A box that does not fit is yielded last, with an error.
func boxes(b []byte) iter.Seq2[box, error] {
	return func(yield func(box, error) bool) {
		for len(b) > 0 {
			kind, head, size, err := parseHead(b)
			if err == nil && size < 0 {
				size = int64(len(b) - head)
			}
			if err == nil && size > int64(len(b)-head) {
				err = fmt.Errorf("the box %q is longer than what contains it", kind)
			}
			if err != nil {
				yield(box{}, damaged(err))
				return
			}
			if !yield(box{kind, b[head:][:size]}, nil) {
				return
			}
			b = b[int64(head)+size:]
		}
	}
}

// damaged hides that boxes ended early: no further bytes of the file can change it.
func damaged(err error) error { return fmt.Errorf("damaged boxes: %v", err) }

// find returns the body of the first box of a kind, nil if there is none.
func find(b []byte, kind string) ([]byte, error) {
	for x, err := range boxes(b) {
		if err != nil {
			return nil, err
		}
		if x.kind == kind {
			return x.body[:len(x.body):len(x.body)], nil
		}
	}
	return nil, nil
}

// descend follows a path of boxes.
func descend(b []byte, path ...string) ([]byte, error) {
	for _, kind := range path {
		var err error
		if b, err = find(b, kind); err != nil || b == nil {
			return nil, err
		}
	}
	return b, nil
}

// cursor reads numbers from the body of a box. After the end it returns zeros, and ok is false.
type cursor struct {
	b    []byte
	fail bool
}

func (c *cursor) bytes(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.b, c.fail = nil, true
		return make([]byte, min(max(n, 0), 32))
	}
	b := c.b[:n:n]
	c.b = c.b[n:]
	return b
}

// number reads an unsigned number of up to 8 bytes.
func (c *cursor) number(bytes int) uint64 {
	var v uint64
	for _, b := range c.bytes(bytes) {
		v = v<<8 | uint64(b)
	}
	return v
}

func (c *cursor) u8() int     { return int(c.number(1)) }
func (c *cursor) u16() uint16 { return uint16(c.number(2)) }
func (c *cursor) u32() uint32 { return uint32(c.number(4)) }

// full reads the version and flags of a box.
func (c *cursor) full() (version byte, flags uint32) {
	v := c.u32()
	return byte(v >> 24), v & 0xffffff
}

// err returns an error if the box ended early.
func (c *cursor) err(kind string) error {
	if c.fail {
		return fmt.Errorf("the box %q is cut short", kind)
	}
	return nil
}
