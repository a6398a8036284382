package pngstream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The position in the order of chunks.
const (
	atStart = iota
	afterIHDR
	afterPLTE
	afterTRNS
	afterIDAT
	afterIEND
)

// chunks reads the chunks of a file. It verifies their order, and the checksums of those that the picture needs.
type chunks struct {
	r        fileReader
	stage    int
	left     uint32 // bytes of the current chunk that have not been read
	crc      uint32 // checksum of what has been read of the current chunk
	scratch  [4096]byte
	header   header
	mended   error // see Reader.Mended
	verified bool  // the checksums of the whole picture were right
}

// fileReader keeps an error of the file, which is none of the picture.
type fileReader struct {
	r   io.Reader
	err error // other than io.EOF
}

func (f *fileReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

var (
	errTooLong  = errors.New("the length of a chunk is invalid") // beyond 31 bits
	errChecksum = errors.New("the checksum of a chunk is wrong")
)

// mend notes the first fault that is passed over.
func (c *chunks) mend(fault error) {
	if c.mended == nil {
		c.mended = fault
	}
}

// begin reads the length and the type of the next chunk.
func (c *chunks) begin() (string, error) {
	head := c.scratch[:8]
	if _, err := io.ReadFull(&c.r, head); err != nil {
		return "", err
	}
	c.left = binary.BigEndian.Uint32(head)
	c.crc = crc32.ChecksumIEEE(head[4:])
	return string(head[4:]), nil
}

// body reads the whole current chunk, of at most as many bytes as scratch has, and verifies its checksum.
func (c *chunks) body() ([]byte, error) {
	b := c.scratch[4 : 4+c.left]
	if _, err := io.ReadFull(&c.r, b); err != nil {
		return nil, err
	}
	c.crc, c.left = crc32.Update(c.crc, crc32.IEEETable, b), 0
	return b, c.verify()
}

// skip reads the rest of the current chunk and verifies its checksum, unless the chunk is ancillary: what does not
// count is no reason to refuse a picture.
func (c *chunks) skip(ancillary bool) error {
	if c.left > 1<<31-1 {
		return errTooLong
	}
	for c.left > 0 {
		b := c.scratch[:min(len(c.scratch), int(c.left))]
		if _, err := io.ReadFull(&c.r, b); err != nil {
			return err
		}
		c.crc = crc32.Update(c.crc, crc32.IEEETable, b)
		c.left -= uint32(len(b))
	}
	if err := c.verify(); err != nil && !(ancillary && err == errChecksum) {
		return err
	}
	return nil
}

// verify compares the checksum at the end of the current chunk.
func (c *chunks) verify() error {
	sum := c.scratch[:4]
	if _, err := io.ReadFull(&c.r, sum); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(sum) != c.crc {
		return errChecksum
	}
	return nil
}

// Read reads the data of all IDAT chunks. The first must have begun. After its end the last one is not verified yet.
func (c *chunks) Read(p []byte) (int, error) {
	for c.left == 0 {
		if err := c.verify(); err != nil {
			return 0, err
		}
		name, err := c.begin()
		if err != nil {
			return 0, err
		}
		if name != "IDAT" {
			return 0, errShort
		}
	}
	n, err := c.r.Read(p[:min(len(p), int(c.left))])
	c.crc = crc32.Update(c.crc, crc32.IEEETable, p[:n])
	c.left -= uint32(n)
	return n, err
}

// readUntil reads chunks until one has led to the stage.
func (c *chunks) readUntil(stage int) error {
	for c.stage < stage {
		name, err := c.begin()
		if err != nil {
			return err
		}
		if err := c.chunk(name); err != nil {
			return err
		}
	}
	return nil
}

// chunk reads a chunk that has begun, except the data of the first IDAT. Like image/png it ignores IDAT chunks behind
// the picture, and those of unknown types. Like libpng it ignores a damaged tRNS chunk.
func (c *chunks) chunk(name string) error {
	next, ok := c.next(name)
	if !ok {
		return fmt.Errorf("a chunk %s is out of order", name)
	}
	first := next != c.stage
	c.stage = next
	switch name {
	case "IHDR":
		return c.readHeader()
	case "PLTE":
		return c.readPalette()
	case "tRNS":
		return c.readTransparency()
	case "IEND":
		if c.left != 0 {
			return errors.New("the IEND chunk has data")
		}
		return c.verify()
	case "IDAT":
		if first {
			return nil
		}
	}
	return c.skip(name[0]&ancillaryBit != 0)
}

// ancillaryBit is set in the first letter of the type of a chunk that a picture does not need.
const ancillaryBit = 0x20

// next returns the stage after a chunk, and whether it may follow now.
func (c *chunks) next(name string) (stage int, ok bool) {
	palette := c.header.Colour == ColourPalette
	switch name {
	case "IHDR":
		return afterIHDR, c.stage == atStart
	case "PLTE":
		return afterPLTE, c.stage == afterIHDR
	case "tRNS":
		return afterTRNS, c.stage == afterPLTE || c.stage == afterIHDR && !palette
	case "IDAT":
		return afterIDAT, afterIHDR <= c.stage && c.stage <= afterIDAT && !(c.stage == afterIHDR && palette)
	case "IEND":
		return afterIEND, c.stage == afterIDAT
	}
	return c.stage, true
}
