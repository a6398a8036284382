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
	symbols []uint8    // in the file
}

// endOfBlock is the run that ends a block, and leads behind it from everywhere. Up to 15 are added for the number of
// bits that follow, of a run of such blocks.
const endOfBlock = 64

// entry returns the entry of look for a symbol whose code has n bits.
func entry(symbol uint8, n int) uint32 {
	run, size := uint32(symbol>>4), uint32(symbol&15)
	if size == 0 && run != 15 {
		run += endOfBlock
	}
	return run<<9 | size<<5 | uint32(n)
}

// tableLength returns the length of the table at the start of b, which is part of a DHT segment: 16 counts of codes, by
// length, and their symbols. It returns false for a table with too many codes.
func tableLength(b []byte) (n int, ok bool) {
	if len(b) < 16 {
		return 0, false
	}
	code, symbols := 0, 0
	for i, n := range b[:16] {
		code += int(n)
		if symbols += int(n); code > 2<<i {
			return 0, false
		}
		code <<= 1
	}
	return 16 + symbols, 0 < symbols && symbols <= 256 && 16+symbols <= len(b)
}

// build makes the lookup table of a table that tableLength has measured.
func (h *huffman) build(table []byte) {
	clear(h.look[:])
	h.symbols = table[16:]
	code, index := uint32(0), 0
	for i, n := range table[:16] {
		length := i + 1
		h.offset[length] = index - int(code)
		for range n {
			h.fill(code, length, h.symbols[index])
			index++
			code++
		}
		h.limit[length] = code
		code <<= 1
	}
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
			with = uint32(v)<<16 | e&(127<<9) | uint32(length+size)
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
	pos   int    // not behind the next marker
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

// take returns the next n bits, at most 32.
func (r *bitReader) take(n int) uint64 {
	if r.n < 32 {
		r.refill()
	}
	v := r.acc >> (64 - n)
	r.acc <<= n
	r.n -= n
	return v
}

// within reports whether all bits that were taken are of the data.
func (r *bitReader) within() bool { return r.n >= r.extra }

// restart goes on behind the next marker, which must be the wanted one. Other bytes before it are skipped.
func (r *bitReader) restart(want byte) bool {
	for pos := r.pos; pos+2 <= len(r.data); {
		switch a, b := r.data[pos], r.data[pos+1]; {
		case a == 0xff && b == want:
			*r = bitReader{data: r.data, pos: pos + 2}
			return true
		case b == 0xff:
			pos++
		case a == 0xff && b != 0:
			return false
		default:
			pos += 2
		}
	}
	return false
}

// symbol returns the entry of h for the next bits, when its code is longer than lookBits; 0 if there is none.
func (r *bitReader) symbol(h *huffman) uint32 {
	for length := lookBits + 1; length <= 16; length++ {
		if code := uint32(r.acc >> (64 - length)); code < h.limit[length] {
			return entry(h.symbols[int(code)+h.offset[length]], length)
		}
	}
	return 0
}

// hasFF reports whether a byte of v is 0xff.
func hasFF(v uint32) bool { return (^v-0x01010101)&v&0x80808080 != 0 }
