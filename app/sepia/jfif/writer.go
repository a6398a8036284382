package jfif

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

// codes are Huffman codes as they are written: code<<5 | length.
type codes struct {
	dc    [12]uint32
	ac    [256]uint32
	small [16 << 6]uint32 // of a run and a value from -32 to 31, its bits included
}

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
				c[t].small[i] = (code>>5<<n|amplitude)<<5 | (code&31 + uint32(n))
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

// bitWriter writes bits, most significant first, with a zero stuffed behind each 0xff.
type bitWriter struct {
	out []byte
	acc uint64 // the last n bits are not yet written
	n   uint
}

// reserve makes room for n more bytes.
func (w *bitWriter) reserve(n int) {
	if cap(w.out)-len(w.out) < n {
		w.out = append(make([]byte, 0, 2*cap(w.out)+n), w.out...)
	}
}

// block writes one block of coefficients and returns its DC.
func (w *bitWriter) block(z *[64]int16, set uint64, lastDC int64, c *codes) int64 {
	dc := int64(z[0])
	n, amplitude := magnitude(dc - lastDC)
	code := c.dc[n]
	w.put(code>>5<<n|amplitude, uint(code&31)+uint(n))
	last := 0
	for m := set &^ 1; m != 0; m &= m - 1 {
		k := bits.TrailingZeros64(m)
		run := k - last - 1
		last = k
		for ; run > 15; run -= 16 {
			w.put(c.ac[0xf0]>>5, uint(c.ac[0xf0]&31))
		}
		v := int64(z[k&63])
		if i := v + 32; uint64(i) < 64 {
			code := c.small[(run<<6|int(i))&(16<<6-1)]
			w.put(code>>5, uint(code&31))
			continue
		}
		n, amplitude := magnitude(v)
		code := c.ac[(run<<4|n)&255]
		w.put(code>>5<<n|amplitude, uint(code&31)+uint(n))
	}
	if last != 63 {
		w.put(c.ac[0]>>5, uint(c.ac[0]&31))
	}
	return dc
}

// put writes n bits, at most 27.
func (w *bitWriter) put(v uint32, n uint) {
	w.acc = w.acc<<(n&63) | uint64(v)
	if w.n += n; w.n >= 32 {
		w.drain()
	}
}

// drain writes the first 32 of the waiting bits.
func (w *bitWriter) drain() {
	v := uint32(w.acc >> ((w.n - 32) & 63))
	if hasFF(v) {
		w.bytes(w.n - 32)
		return
	}
	w.n -= 32
	w.out = binary.BigEndian.AppendUint32(w.out, v)
}

// bytes writes whole bytes until no more than rest and 7 bits are waiting.
func (w *bitWriter) bytes(rest uint) {
	for ; w.n >= rest+8; w.n -= 8 {
		b := byte(w.acc >> (w.n - 8))
		if w.out = append(w.out, b); b == 0xff {
			w.out = append(w.out, 0)
		}
	}
}

// hasFF reports whether a byte of v is 0xff.
func hasFF(v uint32) bool { return (^v-0x01010101)&v&0x80808080 != 0 }

// flush fills the last byte up with ones and returns everything that was written.
func (w *bitWriter) flush() []byte {
	w.put(0x7f, 7)
	w.bytes(0)
	return w.out
}
