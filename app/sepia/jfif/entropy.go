package jfif

import "encoding/binary"

// lookBits is the number of bits by which the lookup table is indexed.
const lookBits = 10

// huffman is a Huffman table of the decoder.
type huffman struct {
	// look tells, by the next bits, a symbol and, when it fits, the value behind it:
	// value<<16 | run<<9 | size of a value that is still to be read<<5 | bits taken; 0 when a code is longer.
	look    [1 << lookBits]uint32
	limit   [17]uint32 // by length: the last code plus one
	offset  [17]int    // by length: add to a code for the index of its symbol
	symbols [256]uint8
	count   int // number of symbols; 0: the table is missing
}

// Runs that lead behind every block: the end of one, and a symbol that baseline does not know.
const (
	endOfBlock = 127
	unknown    = 64
)

// entry returns the entry of look for a symbol whose code has n bits.
func entry(symbol uint8, n int) uint32 {
	run, size := uint32(symbol>>4), uint32(symbol&15)
	switch {
	case symbol == 0:
		run = endOfBlock
	case size == 0 && run != 15:
		run = unknown
	}
	return run<<9 | size<<5 | uint32(n)
}

// read takes a table from the body of a DHT segment, and returns what is behind it; false if it is unusual. There is
// no h for tables that baseline does not have.
func (h *huffman) read(b []byte) (rest []byte, ok bool) {
	if h == nil || len(b) < 16 {
		return nil, false
	}
	counts, b := b[:16], b[16:]
	clear(h.look[:])
	h.count = 0
	code := uint32(0)
	for i, n := range counts {
		length := i + 1
		h.offset[length] = h.count - int(code)
		for range n {
			if len(b) == 0 || h.count == len(h.symbols) || code >= 1<<length {
				return nil, false
			}
			h.symbols[h.count] = b[0]
			h.fill(code, length, b[0])
			b = b[1:]
			h.count++
			code++
		}
		h.limit[length] = code
		code <<= 1
	}
	return b, h.count > 0
}

// fill enters a code wherever it stands in front.
func (h *huffman) fill(code uint32, length int, symbol uint8) {
	rest := lookBits - length
	if rest < 0 {
		return
	}
	e := entry(symbol, length)
	size := int(e >> 5 & 15)
	for i := range uint32(1) << rest {
		with := e
		if 0 < size && size <= rest {
			v := extend(uint64(i)>>(rest-size), size)
			with = uint32(v)<<16 | e&(endOfBlock<<9) | uint32(length+size)
		}
		h.look[code<<rest|i] = with
	}
}

// extend converts the given number of bits to a signed value.
func extend(bits uint64, size int) int64 {
	// A leading 0 means a negative value, of which value-1 was written.
	return int64(bits) + (int64(bits>>(size-1))-1)&(1-1<<size)
}

// bitReader reads the entropy-coded data of a scan.
type bitReader struct {
	data  []byte
	pos   int
	acc   uint64 // the next n bits, from the highest down
	n     int
	extra int // of these, zeros that stand for what is behind the data, or behind a marker
}

// refill reads until at least 32 bits are available.
func (r *bitReader) refill() {
	if r.pos+4 <= len(r.data) {
		if v := binary.BigEndian.Uint32(r.data[r.pos:]); !hasFF(v) {
			r.acc |= uint64(v) << (32 - r.n)
			r.n += 32
			r.pos += 4
			return
		}
	}
	for r.n <= 56 {
		var v byte
		switch rest := r.data[r.pos:]; {
		case len(rest) > 0 && rest[0] != 0xff:
			v = rest[0]
			r.pos++
		case len(rest) > 1 && rest[1] == 0:
			v = 0xff
			r.pos += 2
		default:
			r.extra += 8
		}
		r.acc |= uint64(v) << (56 - r.n)
		r.n += 8
	}
}

// ends reports whether the data ends here: padding and then this marker, which is taken.
func (r *bitReader) ends(marker byte) bool {
	rest := r.data[r.pos:]
	if r.n < r.extra || r.n-r.extra >= 8 || len(rest) < 2 || rest[0] != 0xff || rest[1] != marker {
		return false
	}
	*r = bitReader{data: r.data, pos: r.pos + 2}
	return true
}

// symbol returns the entry of h for the next bits, when its code is longer than lookBits; 0 if there is none.
func (r *bitReader) symbol(h *huffman) uint32 {
	for length := lookBits + 1; length <= 16; length++ {
		if code := uint32(r.acc >> (64 - length)); code < h.limit[length] {
			return entry(h.symbols[(int(code)+h.offset[length])&255], length)
		}
	}
	return 0
}

// maxEnergy bounds the sum of the squares of a block's coefficients, and so its samples: below 2^11. What an encoder
// makes of samples up to 255 has at most a quarter of it, however coarse the quantizer.
const maxEnergy = 1 << 22

// block reads one block into b, which is zero, and returns the position of its last coefficient. It is false for
// anything unusual.
func (d *Decoder) block(c *component, b *block) (last int, ok bool) {
	r := &d.bits
	if r.n < 32 {
		r.refill()
	}
	e := c.dc.look[r.acc>>(64-lookBits)]
	if e == 0 {
		if e = r.symbol(c.dc); e == 0 {
			return 0, false
		}
	}
	acc, n := r.acc<<(e&31), r.n-int(e&31)
	switch run, size := e>>9&127, int(e>>5&15); {
	case run == endOfBlock: // which in the other table means no difference
	case run != 0:
		return 0, false
	case size != 0:
		c.last += extend(acc>>(64-size), size)
		acc, n = acc<<size, n-size
	default:
		c.last += int64(int32(e) >> 16)
	}
	q := &c.quant[0]
	b[0] = int16(c.last) // which fits, or there is too much energy
	energy := c.last * q.step * c.last * q.step
	k := 0
	for k < 63 {
		if n < 32 {
			r.acc, r.n = acc, n
			r.refill()
			acc, n = r.acc, r.n
		}
		e := c.ac.look[acc>>(64-lookBits)]
		if e == 0 {
			r.acc = acc
			if e = r.symbol(c.ac); e == 0 {
				return 0, false
			}
		}
		acc, n = acc<<(e&31), n-int(e&31)
		k += int(e>>9&127) + 1
		if k > 63 {
			if k <= endOfBlock {
				return 0, false
			}
			break
		}
		v := int64(int32(e) >> 16)
		if size := int(e >> 5 & 15); size != 0 {
			v = extend(acc>>(64-size), size)
			acc, n = acc<<size, n-size
		}
		q := &c.quant[k&63]
		b[q.z&63] = int16(v)
		v *= q.step
		energy += v * v
		last = k
	}
	r.acc, r.n = acc, n
	return last, energy <= maxEnergy
}

// hasFF reports whether a byte of v is 0xff.
func hasFF(v uint32) bool { return (^v-0x01010101)&v&0x80808080 != 0 }
