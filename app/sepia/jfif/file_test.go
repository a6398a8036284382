package jfif_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"strings"
)

// script describes a file of any kind that image/jpeg decodes. All Huffman codes have the same length, so that every
// symbol can be written.
type script struct {
	width, height int
	marker        byte     // of the frame; 0: baseline
	planes        string   // three bytes for each: id, sampling factors, quantizer
	segments      []string // behind the start
	interval      int      // between restarts
	scans         []scanOf // none: one of all planes
	coarse        int      // quantizer; 0: 1
	sample        func(x, y, plane int) uint8
}

// scanOf is one scan.
type scanOf struct {
	planes              []int
	from, to, high, low int
	shared              bool // skips several blocks with one code where it can
	segments            []string
}

func segment(marker byte, body string) string {
	return string(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(body)+2))) + body
}

// adobe is a segment that says how planes become colours.
func adobe(transform string) string { return segment(0xee, "Adobe\x00\x64\x00\x00\x00\x00"+transform) }

// The tables: 17 codes of 5 bits, and 255 codes of 8 bits.
var flatTables = func() (s string) {
	symbols := make([]byte, 255)
	for i := range symbols {
		symbols[i] = byte(i)
	}
	counts := func(length, n int) string {
		c := make([]byte, 16)
		c[length-1] = byte(n)
		return string(c)
	}
	dc, ac := counts(5, 17)+string(symbols[:17]), counts(8, 255)+string(symbols)
	return segment(0xc4, "\x00"+dc) + segment(0xc4, "\x10"+ac+"\x01"+dc) + segment(0xc4, "\x11"+ac)
}()

func (s script) bytes() []byte {
	out := append([]byte{0xff, 0xd8}, strings.Join(s.segments, "")...)
	table := slices.Repeat([]byte{byte(max(s.coarse, 1))}, 64)
	out = append(out, segment(0xdb, "\x00"+string(table))...)
	frame := binary.BigEndian.AppendUint16([]byte{8}, uint16(s.height))
	frame = binary.BigEndian.AppendUint16(frame, uint16(s.width))
	marker := max(s.marker, 0xc0)
	out = append(out, segment(marker, string(frame)+string(rune(len(s.planes)/3))+s.planes)...)
	out = append(out, flatTables...)
	if s.interval > 0 {
		out = append(out, segment(0xdd, string(binary.BigEndian.AppendUint16(nil, uint16(s.interval))))...)
	}
	w := &scanWriter{script: s, out: out, blocks: map[[3]int]*[64]int{}}
	scans := s.scans
	if scans == nil {
		scans = []scanOf{{planes: []int{0, 1, 2, 3}[:len(s.planes)/3], to: 63}}
	}
	for _, scan := range scans {
		w.scan(scan)
	}
	return append(w.out, 0xff, 0xd9)
}

// scanWriter writes scans.
type scanWriter struct {
	script
	out    []byte
	acc    uint64
	n      int
	last   [4]int
	run    int   // blocks to skip that are not written yet
	later  []int // bits that follow that run
	blocks map[[3]int]*[64]int
}

func (w *scanWriter) factors(plane int) (h, v int) {
	if len(w.planes) == 3 {
		return 1, 1
	}
	f := w.planes[3*plane+1]
	return int(f >> 4), int(f & 15)
}

func (w *scanWriter) scan(s scanOf) {
	for _, segment := range s.segments {
		w.out = append(w.out, segment...)
	}
	header := string(rune(len(s.planes)))
	for _, p := range s.planes {
		header += w.planes[3*p:3*p+1] + []string{"\x00", "\x11"}[min(p, 1)]
	}
	w.out = append(w.out, segment(0xda, header+string([]byte{byte(s.from), byte(s.to), byte(s.high<<4 | s.low)}))...)
	w.last = [4]int{}
	h0, v0 := w.factors(0)
	across, down := (w.width+8*h0-1)/(8*h0), (w.height+8*v0-1)/(8*v0)
	units := 0
	restart := func() {
		if w.interval > 0 && units > 0 && units%w.interval == 0 {
			w.skip(s)
			w.flush()
			w.out = append(w.out, 0xff, 0xd0+byte(units/w.interval-1)&7)
			w.last = [4]int{}
		}
		units++
	}
	for mcu := range across * down {
		if len(s.planes) > 1 {
			restart()
		}
		for _, p := range s.planes {
			h, v := w.factors(p)
			for i := range h * v {
				x, y := mcu%across*h+i%h, mcu/across*v+i/h
				if len(s.planes) == 1 { // each block is an MCU, in rows of the plane
					x, y = (mcu*h*v+i)%(across*h), (mcu*h*v+i)/(across*h)
					if 8*x >= w.width || 8*y >= w.height {
						continue
					}
					restart()
				}
				w.block(s, p, w.coefficients(p, x, y))
			}
		}
	}
	w.skip(s)
	w.flush()
}

// coefficients transforms a block of the picture.
func (w *scanWriter) coefficients(plane, x, y int) *[64]int {
	at := [3]int{plane, x, y}
	if c := w.blocks[at]; c != nil {
		return c
	}
	h0, v0 := w.factors(0)
	h, v := w.factors(plane)
	var s [64]float64
	for i := range s {
		s[i] = float64(w.sample((8*x+i%8)*h0/h, (8*y+i/8)*v0/v, plane)) - 128
	}
	c := new([64]int)
	for k := range c {
		u, v, sum := int(zigzag[k])%8, int(zigzag[k])/8, 0.0
		for i, f := range s {
			sum += f * basis[i%8][u] * basis[i/8][v]
		}
		c[k] = int(math.Round(sum / float64(max(w.coarse, 1))))
	}
	w.blocks[at] = c
	return c
}

var zigzag = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

// basis has, by sample and coefficient, the factors of the transform.
var basis = func() (t [8][8]float64) {
	for x := range t {
		for u := range t {
			t[x][u] = math.Cos(float64(2*x+1)*float64(u)*math.Pi/16) / 2
		}
		t[x][0] = math.Sqrt2 / 4
	}
	return t
}()

func (w *scanWriter) write(v, n int) {
	w.acc, w.n = w.acc<<n|uint64(v), w.n+n
	for ; w.n >= 8; w.n -= 8 {
		b := byte(w.acc >> (w.n - 8))
		if w.out = append(w.out, b); b == 0xff {
			w.out = append(w.out, 0)
		}
	}
}

func (w *scanWriter) flush() {
	if w.n > 0 {
		w.write(1<<(8-w.n)-1, 8-w.n)
	}
}

// value writes the bits of a value behind its symbol.
func (w *scanWriter) value(v, n int) {
	if v < 0 {
		v += 1<<n - 1
	}
	w.write(v, n)
}

func size(v int) int { return bits.Len(uint(max(v, -v))) }

// skip writes the run of blocks that are to be skipped, and the bits of their coefficients.
func (w *scanWriter) skip(s scanOf) {
	if w.run > 0 {
		n := size(w.run) - 1
		w.write(n<<4, 8)
		w.write(w.run-1<<n, n)
	}
	for _, bit := range w.later {
		w.write(bit, 1)
	}
	w.run, w.later = 0, nil
}

func (w *scanWriter) block(s scanOf, plane int, c *[64]int) {
	from := s.from
	if from == 0 {
		v := c[0] >> s.low
		if s.high == 0 {
			n := size(v - w.last[plane])
			w.write(n, 5)
			w.value(v-w.last[plane], n)
			w.last[plane] = v
		} else {
			w.write(v&1, 1)
		}
		from = 1
	}
	if from > s.to {
		return
	}
	// Coefficients are divided by powers of two, towards zero.
	at := func(k, low int) int { return c[k] / (1 << low) }
	known := func(k int) bool { return s.high > 0 && at(k, s.high) != 0 }
	end := from // behind the last new coefficient
	for k := from; k <= s.to; k++ {
		if at(k, s.low) != 0 && !known(k) {
			end = k + 1
		}
	}
	if end > from {
		w.skip(s)
	}
	run := 0
	var corrections []int
	for k := from; k < end; k++ {
		v := at(k, s.low)
		switch {
		case known(k):
			corrections = append(corrections, max(v, -v)&1)
			continue
		case v == 0:
			if run++; run == 16 {
				w.write(0xf0, 8)
				run = 0
				w.later, corrections = corrections, nil
				w.bits()
			}
			continue
		}
		if s.high > 0 {
			w.write(run<<4|1, 8)
			w.write((v+1)/2, 1)
		} else {
			w.write(run<<4|size(v), 8)
			w.value(v, size(v))
		}
		w.later, corrections, run = corrections, nil, 0
		w.bits()
	}
	w.later = append(w.later, corrections...)
	for k := end; k <= s.to; k++ {
		if known(k) {
			v := at(k, s.low)
			w.later = append(w.later, max(v, -v)&1)
		}
	}
	if end <= s.to {
		w.run++
	}
	if w.run == 32767 || !s.shared {
		w.skip(s)
	}
}

// bits writes bits of coefficients that a run of zeros has passed.
func (w *scanWriter) bits() {
	for _, bit := range w.later {
		w.write(bit, 1)
	}
	w.later = nil
}

// overfull reports whether a file may have a Huffman table with more codes than there are, which image/jpeg accepts: it
// then takes the last of those that are equal.
func overfull(file []byte) bool {
	for at := 0; ; {
		i := bytes.Index(file[at:], []byte{0xff, 0xc4})
		if i < 0 || at+i+4 > len(file) {
			return false
		}
		at += i + 4
		b := file[at:min(len(file), at-2+int(binary.BigEndian.Uint16(file[at-2:])))]
		for len(b) >= 17 {
			code, n := 0, 0
			for length, count := range b[1:17] {
				code = 2*code + int(count)
				if n += int(count); code > 2<<length {
					return true
				}
			}
			b = b[min(17+n, len(b)):]
		}
	}
}
