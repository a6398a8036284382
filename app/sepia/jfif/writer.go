package jfif

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

// codes are Huffman codes of a draft as they are written: code<<5 | length.
type codes struct {
	dc    [12]uint32
	ac    [256]uint32
	small [16 << 6]uint32 // of a run and a value from -32 to 31: code and value<<8 | size of the value<<5 | length of both
}

// endOfFullBlock stands behind a block whose last coefficient is not zero, where a file has nothing. It is the only
// code that the standard tables leave free. With it a reader of drafts need not count coefficients.
const endOfFullBlock, endOfFullBlockBits = 0xffff, 16

var standardCodes = sync.OnceValue(func() *[2]codes {
	var c [2]codes
	for t := range c {
		assign(standardDC[t], c[t].dc[:])
		assign(standardAC[t], c[t].ac[:])
		for i := range c[t].small {
			run, v := i>>6, int64(i&63)-32
			if v != 0 {
				n, amplitude := magnitude(v)
				code := c[t].ac[run<<4|n]
				c[t].small[i] = (code>>5<<n|amplitude)<<8 | uint32(n)<<5 | (code&31 + uint32(n))
			}
		}
	}
	return &c
})

// assign gives each symbol of a DHT table its code.
func assign(table string, to []uint32) {
	code, symbols := uint32(0), table[16:]
	for length := range 16 {
		for range table[length] {
			to[symbols[0]] = code<<5 | uint32(length+1)
			symbols = symbols[1:]
			code++
		}
		code <<= 1
	}
}

// magnitude returns the number of bits of a value and those bits, which for a negative one are those of value-1.
func magnitude(v int64) (n int, amplitude uint32) {
	sign := v >> 63
	n = bits.Len64(uint64((v ^ sign) - sign))
	return n, uint32(v+sign) & (1<<n - 1)
}

// bitWriter writes bits, most significant first.
type bitWriter struct {
	out []byte
	acc uint64 // its first n bits, at most 7, are not yet written
	n   uint
}

// reserve makes room for n more bytes.
func (w *bitWriter) reserve(n int) {
	if cap(w.out)-len(w.out) < n {
		w.out = append(make([]byte, 0, 2*cap(w.out)+n), w.out...)
	}
}

// put writes the lower bits of v, at most 57, behind the first n bits of acc, and returns what is then waiting. It
// always writes 8 bytes at out[at:]: a branch that depends on how many bits are complete would be mispredicted too
// often.
func put(out []byte, at int, acc uint64, n uint, v uint64, bits uint) (int, uint64, uint) {
	n += bits
	acc |= v << ((64 - n) & 63)
	binary.BigEndian.PutUint64(out[at:], acc)
	return at + int(n>>3), acc << (n & 0x38), n & 7
}

// block writes the draft of one block of coefficients and returns its DC.
func (w *bitWriter) block(z *[64]int16, set uint64, lastDC int64, c *codes, counts *symbolCounts) int64 {
	out, at, acc, waiting := w.out[:cap(w.out)], len(w.out), w.acc, w.n
	dc := int64(z[0])
	n, amplitude := magnitude(dc - lastDC)
	counts.dc[n]++
	code := c.dc[n]
	at, acc, waiting = put(out, at, acc, waiting, uint64(code>>5<<n|amplitude), uint(code&31)+uint(n))
	last := 0
	for m := set &^ 1; m != 0; m &= m - 1 {
		k := bits.TrailingZeros64(m)
		run := k - last - 1
		last = k
		for ; run > 15; run -= 16 {
			counts.ac[0xf0]++
			at, acc, waiting = put(out, at, acc, waiting, uint64(c.ac[0xf0]>>5), uint(c.ac[0xf0]&31))
		}
		v := int64(z[k&63])
		if i := v + 32; uint64(i) < 64 {
			code := c.small[(run<<6|int(i))&(16<<6-1)]
			counts.ac[(run<<4|int(code>>5&7))&255]++
			at, acc, waiting = put(out, at, acc, waiting, uint64(code>>8), uint(code&31))
			continue
		}
		n, amplitude := magnitude(v)
		symbol := (run<<4 | n) & 255
		counts.ac[symbol]++
		code := c.ac[symbol]
		at, acc, waiting = put(out, at, acc, waiting, uint64(code>>5<<n|amplitude), uint(code&31)+uint(n))
	}
	if last != 63 {
		counts.ac[0]++
		at, acc, waiting = put(out, at, acc, waiting, uint64(c.ac[0]>>5), uint(c.ac[0]&31))
	} else {
		at, acc, waiting = put(out, at, acc, waiting, endOfFullBlock, endOfFullBlockBits)
	}
	w.out, w.acc, w.n = out[:at], acc, waiting
	return dc
}

// finish appends the last bits and 8 zero bytes, because the reader of a draft loads whole words, and returns
// everything that was written.
func (w *bitWriter) finish() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(w.out, w.acc), 0)
}
