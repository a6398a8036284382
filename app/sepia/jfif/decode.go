package jfif

import (
	"encoding/binary"
	"errors"
	"image"
)

// ErrUnusual is returned for a file that Decoder does not support or that is damaged.
var ErrUnusual = errors.New("not a plain baseline JPEG")

// Decoder decodes one file at a time. The zero value is ready for Open. It may be reused for other files.
type Decoder struct {
	Width, Height int                       // in pixels
	Grey          bool                      // no chroma planes
	Ratio         image.YCbCrSubsampleRatio // 444, 440, 422 or 420
	StripHeight   int                       // rows of pixels per strip: 8 or 16

	bits     bitReader
	planes   [3]component
	comps    []component // one per plane of the file
	quant    [4][64]uint8
	known    [4]bool // which entries of quant the file has
	dc, ac   [2]huffman
	interval int // restart interval in MCUs; 0: none
	mcu      int // index of the next one
	tables   int // number of Huffman tables read
}

// maxTables limits the Huffman tables of a header. Four are useful; a hostile file could have a million.
const maxTables = 16

// component is one plane with its tables.
type component struct {
	id, h, v, table uint8
	quant           [64]quantum // in zigzag order
	scale           dequantizer
	dc, ac          *huffman
	last            int64 // DC of the previous block
}

// quantum is the step of one coefficient.
type quantum struct {
	step int64
	z    uint8 // its natural position
}

// Open reads the header of a file up to its scan. data must not change until the last strip is read.
func (d *Decoder) Open(data []byte) error {
	d.Width, d.interval, d.known, d.mcu, d.tables = 0, 0, [4]bool{}, 0, 0
	for t := range d.dc {
		d.dc[t].count, d.ac[t].count = 0, 0
	}
	if len(data) < 2 || data[0] != 0xff || data[1] != markerSOI {
		return ErrUnusual
	}
	for pos := 2; len(data)-pos >= 4 && data[pos] == 0xff; {
		marker, n := data[pos+1], int(binary.BigEndian.Uint16(data[pos+2:]))
		if n < 2 || len(data)-pos-2 < n {
			return ErrUnusual
		}
		body := data[pos+4 : pos+2+n]
		pos += 2 + n
		if marker == markerSOS {
			d.bits = bitReader{data: data, pos: pos}
			if d.startOfScan(body) {
				return nil
			}
		}
		if !d.segment(marker, body) {
			return ErrUnusual
		}
	}
	return ErrUnusual
}

// Close drops the reference to the file. The decoder may be used for another one.
func (d *Decoder) Close() { d.bits = bitReader{} }

// segment reads one segment of the header. It returns false if it is unusual.
func (d *Decoder) segment(marker byte, b []byte) (ok bool) {
	switch {
	case marker == markerSOF0:
		return d.startOfFrame(b)
	case marker == markerDHT:
		for ok = true; ok && len(b) > 0 && d.tables <= maxTables; {
			h := map[byte]*huffman{0x00: &d.dc[0], 0x01: &d.dc[1], 0x10: &d.ac[0], 0x11: &d.ac[1]}[b[0]]
			b, ok = h.read(b[1:])
			d.tables++
		}
		return ok && d.tables <= maxTables
	case marker == markerDQT:
		for ; len(b) >= 65 && b[0] <= 3; b = b[65:] {
			d.known[b[0]], d.quant[b[0]] = true, [64]uint8(b[1:])
		}
		return len(b) == 0
	case marker == markerDRI && len(b) == 2:
		d.interval = int(binary.BigEndian.Uint16(b))
		return true
	case marker == markerAPP14 && len(b) >= 12 && string(b[:5]) == "Adobe":
		return b[11] == 1 // the others mean RGB or CMYK
	}
	return markerAPP0 <= marker && marker <= markerAPP15 || marker == markerCOM
}

// ratios is indexed by the horizontal and vertical sampling of luma, minus 1.
var ratios = [2][2]image.YCbCrSubsampleRatio{
	{image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio440},
	{image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420},
}

func (d *Decoder) startOfFrame(b []byte) bool {
	if d.Width != 0 || len(b) < 6 || b[0] != 8 || b[5] != 1 && b[5] != 3 || len(b) != 6+3*int(b[5]) {
		return false
	}
	d.Height, d.Width, d.Grey = int(binary.BigEndian.Uint16(b[1:])), int(binary.BigEndian.Uint16(b[3:])), b[5] == 1
	d.comps = d.planes[:b[5]]
	c := &d.planes
	for i := range d.comps {
		f := b[6+3*i:]
		c[i] = component{id: f[0], h: f[1] >> 4, v: f[1] & 15, table: f[2]}
		if f[2] > 3 || i > 0 && f[1] != 0x11 {
			return false
		}
	}
	if c[0].h-1 > 1 || c[0].v-1 > 1 || d.Width == 0 || d.Height == 0 {
		return false
	}
	if d.Grey {
		c[0].h, c[0].v = 1, 1 // a single plane is never subsampled, even if its header has a sampling factor
	} else if c[0].id == c[1].id || c[0].id == c[2].id || c[1].id == c[2].id || c[0].id == 'R' {
		return false // 'R', 'G' and 'B' mean RGB
	}
	d.Ratio, d.StripHeight = ratios[c[0].h-1][c[0].v-1], 8*int(c[0].v)
	return true
}

func (d *Decoder) startOfScan(b []byte) bool {
	n := len(d.comps)
	if d.Width == 0 || len(b) != 4+2*n || int(b[0]) != n || string(b[1+2*n:]) != "\x00\x3f\x00" {
		return false
	}
	for i := range n {
		c, id, dc, ac := &d.comps[i], b[1+2*i], b[2+2*i]>>4, b[2+2*i]&15
		if id != c.id || dc > 1 || ac > 1 || d.dc[dc].count == 0 || d.ac[ac].count == 0 || !d.known[c.table] {
			return false
		}
		c.dc, c.ac, c.last = &d.dc[dc], &d.ac[ac], 0
		for k, z := range zigzag {
			c.quant[k] = quantum{int64(d.quant[c.table][k]), z}
			c.scale.set(z, int(d.quant[c.table][k]))
		}
	}
	return true
}

// Strip reads the next strip into the planes of m, whose first samples are those of the strip; they are to have room
// for whole MCUs. After the last strip it also looks for the end of the picture. A grey picture leaves the chroma
// alone.
func (d *Decoder) Strip(m *image.YCbCr) error {
	h, v := int(d.comps[0].h), int(d.comps[0].v)
	across := (d.Width + 8*h - 1) / (8 * h)
	total := across * ((d.Height + 8*v - 1) / (8 * v))
	samples, strides := [3][]uint8{m.Y, m.Cb, m.Cr}, [3]int{m.YStride, m.CStride, m.CStride}
	var b block
	for x := range across {
		if d.interval > 0 && d.mcu > 0 && d.mcu%d.interval == 0 {
			if !d.bits.ends(markerRST0 + byte(d.mcu/d.interval-1)&7) {
				return ErrUnusual
			}
			d.planes[0].last, d.planes[1].last, d.planes[2].last = 0, 0, 0
		}
		d.mcu++
		for i := range d.comps {
			c := &d.comps[i]
			for j := range int(c.h) * int(c.v) {
				clear(b[:])
				last, ok := d.block(c, &b)
				if !ok {
					return ErrUnusual
				}
				down, right := j/int(c.h), x*int(c.h)+j%int(c.h)
				b.idct(&c.scale, last, samples[i][8*(down*strides[i]+right):], strides[i])
			}
		}
	}
	if d.bits.n < d.bits.extra || d.mcu == total && !d.bits.ends(markerEOI) {
		return ErrUnusual
	}
	return nil
}
