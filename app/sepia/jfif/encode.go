package jfif

import "image"

// Encoder encodes images with one quality. It is safe for concurrent use.
type Encoder struct {
	quant [2][64]uint8 // luma and chroma, in zigzag order
	steps [2]quantizer
	codes *[2]codes
}

// NewEncoder returns an encoder for a quality from 1 to 100, as in image/jpeg and libjpeg.
func NewEncoder(quality int) *Encoder {
	e := &Encoder{codes: standardCodes()}
	percent := 200 - 2*quality
	if quality < 50 {
		percent = 5000 / quality
	}
	for t := range e.quant {
		for k, q := range standardQuant[t] {
			step := min(max((int(q)*percent+50)/100, 1), 255)
			e.quant[t][k] = uint8(step)
			e.steps[t].set(k, step)
		}
	}
	return e
}

// stripMCUs is the minimum number of units of 16x16 pixels in a strip, unless the picture ends: what a strip costs
// beside its samples, about 6 bytes, is then under 5 % of the flattest picture.
const stripMCUs = 32

// StripHeight returns the rows of pixels per strip for an image of that width, a multiple of 16.
func StripHeight(width int) int {
	mcus := (width + 15) / 16
	return 16 * ((stripMCUs + mcus - 1) / mcus)
}

// Header appends everything before the first strip of a file. Width and height may be at most 65535.
func (e *Encoder) Header(dst []byte, width, height int, t *Tables) []byte {
	dst = append(dst, 0xff, markerSOI, 0xff, markerDQT, 0, 2+2*65)
	for t := range e.quant {
		dst = append(append(dst, byte(t)), e.quant[t][:]...)
	}
	dst = append(dst, 0xff, markerSOF0, 0, 17, 8, byte(height>>8), byte(height), byte(width>>8), byte(width), 3,
		1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1)
	n := 2
	for i := range t.dc {
		n += 2 + len(t.dc[i].segment) + len(t.ac[i].segment)
	}
	dst = append(dst, 0xff, markerDHT, byte(n>>8), byte(n))
	for i := range t.dc {
		dst = append(append(dst, byte(i)), t.dc[i].segment...)
		dst = append(append(dst, 0x10|byte(i)), t.ac[i].segment...)
	}
	interval := (width + 15) / 16 * (StripHeight(width) / 16)
	dst = append(dst, 0xff, markerDRI, 0, 4, byte(interval>>8), byte(interval))
	return append(dst, 0xff, markerSOS, 0, 12, 3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0)
}

// maxMCU bounds the bytes of one MCU: 6 blocks of 64 codes with 27 bits, the end of each block, and what put writes
// ahead.
const maxMCU = 6*(64*27+16)/8 + 16

// Draft appends the draft of a strip: its coefficients in the standard Huffman codes. It adds their symbols to counts,
// from which Tables.Reset makes the codes of the file. m is 4:2:0; its planes are filled up to whole MCUs. A draft
// depends only on m, so that strips can be encoded in any order.
func (e *Encoder) Draft(dst []byte, m *image.YCbCr, counts *Counts) []byte {
	w := bitWriter{out: dst}
	var p pair
	var dc [3]int64
	for y := 0; y < m.Rect.Dy(); y += 16 {
		row, cb, cr := m.Y[y*m.YStride:], m.Cb[y/2*m.CStride:], m.Cr[y/2*m.CStride:]
		for x := 0; x < m.Rect.Dx(); x += 16 {
			w.reserve(maxMCU)
			for _, half := range [2][]byte{row[x:], row[x+8*m.YStride:]} {
				p.transform(half, half[8:], m.YStride, &e.steps[0])
				dc[0] = w.block(&p.z[0], p.set[0], dc[0], &e.codes[0], &counts[0])
				dc[0] = w.block(&p.z[1], p.set[1], dc[0], &e.codes[0], &counts[0])
			}
			p.transform(cb[x/2:], cr[x/2:], m.CStride, &e.steps[1])
			dc[1] = w.block(&p.z[0], p.set[0], dc[1], &e.codes[1], &counts[1])
			dc[2] = w.block(&p.z[1], p.set[1], dc[2], &e.codes[1], &counts[1])
		}
	}
	return w.finish()
}
