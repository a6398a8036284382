package jfif

import (
	"bytes"
	"encoding/binary"
	"image"
)

// header holds the values of the segments before a scan. It changes from scan to scan.
type header struct {
	marker      byte // of the frame; 0: there was none
	huffman     [2][4][]byte
	quant       [4][64]uint16 // in zigzag order
	interval    int           // restart interval in MCUs; 0: none
	jfif, adobe bool
	transform   byte // of the Adobe segment
}

// structure reads all segments and finds all scans, up to the end of the picture.
func (d *Decoder) structure(data []byte) error {
	if len(data) < 2 || data[0] != 0xff || data[1] != markerSOI {
		return ErrInvalid
	}
	marker, pos := nextMarker(data, 2)
	for marker != markerEOI {
		if pos < 0 || len(data)-pos < 2 {
			return d.noEnd()
		}
		n := int(binary.BigEndian.Uint16(data[pos:]))
		if n < 2 && metadata(marker) {
			n = 2 // as libjpeg reads it
			d.suffer(Beside)
		}
		if len(data)-pos < n {
			return d.noEnd()
		}
		scans := len(d.scans)
		if n < 2 || !d.segment(marker, data[pos+2:pos+n]) {
			d.scans = d.scans[:scans]
			d.suffer(Broken)
			return d.noEnd()
		}
		if pos += n; marker != markerSOS {
			marker, pos = nextMarker(data, pos)
			continue
		}
		s := &d.scans[len(d.scans)-1]
		s.bits = bitReader{data: data, pos: pos}
		marker, pos = markerAfterScan(data, pos)
		s.end = pos
	}
	if len(d.scans) == 0 {
		return ErrInvalid
	}
	return nil
}

// metadata reports whether the decoder can do without what a segment says.
func metadata(marker byte) bool {
	return markerAPP0 <= marker && marker <= markerAPP15 || marker == markerCOM
}

// nextMarker returns the marker that follows at pos, or behind it after other bytes, which are skipped, and the
// position behind it; -1 if there is none.
func nextMarker(data []byte, pos int) (byte, int) {
	for pos+2 <= len(data) {
		a, b := data[pos], data[pos+1]
		switch pos++; {
		case a != 0xff:
			continue
		case b == 0:
			pos++
			continue
		}
		for ; pos < len(data) && data[pos] == 0xff; pos++ {
		}
		if pos == len(data) {
			break
		}
		if pos++; data[pos-1]&^7 != markerRST0 {
			return data[pos-1], pos
		}
	}
	return 0, -1
}

// markerAfterScan is nextMarker for the data of a scan, which may have restart markers and zeros behind 0xff.
func markerAfterScan(data []byte, pos int) (byte, int) {
	for {
		i := bytes.IndexByte(data[pos:], 0xff)
		if i < 0 || len(data)-pos-i < 2 {
			return 0, -1
		}
		pos += i + 1
		if b := data[pos]; b != 0 && b != 0xff && b&^7 != markerRST0 {
			return b, pos + 1
		}
	}
}

// segment reads one segment. It returns false if it is invalid.
func (d *Decoder) segment(marker byte, b []byte) bool {
	h := &d.header
	switch {
	case marker == markerSOF0, marker == markerSOF1, marker == markerSOF2:
		return d.startOfFrame(marker, b)
	case marker == markerDHT:
		return h.huffmanTables(b)
	case marker == markerDQT:
		return h.quantizers(b)
	case marker == markerSOS:
		return d.startOfScan(b)
	case marker == markerDRI:
		if len(b) == 2 {
			h.interval = int(binary.BigEndian.Uint16(b))
		}
		return len(b) == 2
	case marker == markerAPP0 && len(b) >= 5:
		h.jfif = string(b[:5]) == "JFIF\x00"
	case marker == markerAPP14 && len(b) >= 12 && string(b[:5]) == "Adobe":
		h.adobe, h.transform = true, b[11]
	}
	return metadata(marker)
}

func (h *header) huffmanTables(b []byte) bool {
	for len(b) > 0 {
		class, index := b[0]>>4, b[0]&15
		n, ok := tableLength(b[1:])
		if !ok || class > 1 || index > 3 || index > 1 && h.marker == markerSOF0 {
			return false
		}
		h.huffman[class][index] = b[1 : 1+n]
		b = b[1+n:]
	}
	return true
}

func (h *header) quantizers(b []byte) bool {
	for len(b) > 0 {
		wide, index := int(b[0]>>4), b[0]&15
		if b = b[1:]; wide > 1 || index > 3 {
			return false
		}
		if len(b) < 64<<wide {
			return len(b) == 0
		}
		for k := range h.quant[index] {
			if wide == 0 {
				h.quant[index][k] = uint16(b[k])
			} else {
				h.quant[index][k] = binary.BigEndian.Uint16(b[2*k:])
			}
		}
		b = b[64<<wide:]
	}
	return true
}

func (d *Decoder) startOfFrame(marker byte, b []byte) bool {
	if d.header.marker != 0 || len(b) < 6 || b[0] != 8 || len(b) != 6+3*int(b[5]) || b[5] == 0 || b[5] == 2 || b[5] > 4 {
		return false
	}
	d.header.marker, d.Progressive = marker, marker == markerSOF2
	d.Height, d.Width = int(binary.BigEndian.Uint16(b[1:])), int(binary.BigEndian.Uint16(b[3:]))
	d.comps = d.planes[:b[5]]
	for i := range d.comps {
		f := b[6+3*i:]
		d.comps[i] = component{id: f[0], h: int(f[1] >> 4), v: int(f[1] & 15), quant: f[2]}
		for j := range i {
			if f[0] == d.comps[j].id {
				return false
			}
		}
		if f[2] > 3 {
			return false
		}
	}
	if d.Width == 0 || d.Height == 0 || !d.sampling() {
		return false
	}
	h, v := d.comps[0].h, d.comps[0].v
	d.across, d.down = (d.Width+8*h-1)/(8*h), (d.Height+8*v-1)/(8*v)
	d.StripHeight = 8 * v
	return true
}

// ratios is indexed by how often luma is sampled, horizontally and vertically, for each sample of chroma.
var ratios = map[[2]int]image.YCbCrSubsampleRatio{
	{1, 1}: image.YCbCrSubsampleRatio444, {1, 2}: image.YCbCrSubsampleRatio440,
	{2, 1}: image.YCbCrSubsampleRatio422, {2, 2}: image.YCbCrSubsampleRatio420,
	{4, 1}: image.YCbCrSubsampleRatio411, {4, 2}: image.YCbCrSubsampleRatio410,
}

// sampling checks the sampling factors. It allows those of image/jpeg.
func (d *Decoder) sampling() bool {
	c := d.comps
	for i := range c {
		if !factor(c[i].h) || !factor(c[i].v) {
			return false
		}
	}
	if len(c) == 1 {
		c[0].h, c[0].v = 1, 1 // a single plane is never subsampled, even if its header has a sampling factor
		d.Ratio = image.YCbCrSubsampleRatio420
		return true
	}
	ratio, ok := ratios[[2]int{c[0].h / c[1].h, c[0].v / c[1].v}]
	d.Ratio = ratio
	if len(c) == 4 {
		return c[0].h == c[0].v && c[0].h <= 2 && c[1].h*c[1].v*c[2].h*c[2].v == 1 &&
			c[3].h == c[0].h && c[3].v == c[0].v
	}
	return ok && c[0].v <= 2 && c[0].h%c[1].h == 0 && c[0].v%c[1].v == 0 && c[1].h == c[2].h && c[1].v == c[2].v
}

func factor(n int) bool { return n == 1 || n == 2 || n == 4 }

// Model is the meaning of the planes of a file.
type Model int

// The colour models. The planes of CMYK are inverted, as Adobe stores them, and so is the fourth one of YCCK. Browsers
// take them as inverted also in a file that does not name Adobe.
const (
	Grey Model = iota
	YCbCr
	RGB
	CMYK
	YCCK
)

// model returns the colour model, from everything that the file says about it.
func (d *Decoder) model() Model {
	h, c := &d.header, d.comps
	unknown := h.adobe && h.transform == 0
	switch {
	case len(c) == 1:
		return Grey
	case len(c) == 4 && (unknown || !h.adobe):
		return CMYK
	case len(c) == 4:
		return YCCK
	case !h.jfif && (unknown || c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B'):
		return RGB
	}
	return YCbCr
}
