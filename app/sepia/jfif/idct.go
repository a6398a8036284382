package jfif

import "encoding/binary"

// The inverse transform is the one of Arai, Agui and Nakajima, too, on two columns at once and then on two rows, packed
// as for fdct. Coefficients come multiplied by their factors, with idctBits behind the point; constants have 8 bits.
// The energy that the decoder allows a block keeps every result within a lane: samples below 2^11 with 18 bits.
const (
	idctBits = 12
	idctDrop = 10                    // bits that are shifted out between the passes
	idctC4   = 362                   // 2 cos(4 pi/16) * 256
	idctSum  = 473                   // 2 cos(2 pi/16)
	idctLow  = 277                   // 2 (cos(2 pi/16) - sin(2 pi/16))
	idctHigh = 669                   // 2 (cos(2 pi/16) + sin(2 pi/16))
	idctDone = idctBits + 6          // bits behind the point of a result: two constants more, idctDrop less
	idctMean = 257 << (idctBits - 1) // what centres the samples, and rounds them
)

// block is a block of quantized coefficients in natural order.
type block [64]int16

// dequantizer has the factors that turn the coefficients of a block into those that the transform takes.
type dequantizer [64]int32

// set sets the factor of the coefficient at natural position z.
func (q *dequantizer) set(z uint8, step int) {
	// Converted so that arm64 does not fuse it with the addition, which would round differently.
	f := float64(float64(step) * fdctFactors[z/8] * fdctFactors[z%8] / 8 * (1 << idctBits))
	q[z] = int32(f + 0.5)
}

// idct writes the samples of b. last is the last position in zigzag order at which b may have a coefficient.
func (b *block) idct(q *dequantizer, last int, dst []byte, stride int) {
	if last == 0 {
		v := uint64(clamp((int32(b[0])*q[0]+idctMean)>>idctBits)) * 0x0101010101010101
		for r := range 8 {
			binary.NativeEndian.PutUint64(dst[r*stride:], v)
		}
		return
	}
	if dst = dst[:7*stride+8]; vector {
		idctAVX2(b, q, &dst[0], stride)
		return
	}
	var p packed
	for i := range 4 * (int(lastRow[last&63]) + 1) {
		p[i&31] = int64(b[2*i&63])*int64(q[2*i&63]) + int64(b[2*i&63+1])*int64(q[2*i&63+1])<<32
	}
	p[0] += idctMean
	p.idct(dst, stride)
}

// lastRow is, by the last position in zigzag order, the last row that may have a coefficient.
var lastRow = func() (rows [64]uint8) {
	for k, z := range zigzag {
		rows[k] = max(z/8, rows[max(k-1, 0)])
	}
	return rows
}()

// packed is a block of coefficients: columns 2i and 2i+1 of row r in the lanes of word 4*r+i.
type packed [32]int64

func (b *packed) idct(dst []byte, stride int) {
	for i := range 4 {
		b[i], b[4+i], b[8+i], b[12+i], b[16+i], b[20+i], b[24+i], b[28+i] = idct8(
			b[i], b[4+i], b[8+i], b[12+i], b[16+i], b[20+i], b[24+i], b[28+i])
	}
	for r := 0; r < 8; r += 2 {
		a, c := b[4*r:4*r+4:4*r+4], b[4*r+4:4*r+8:4*r+8]
		x0, x1 := transpose(a[0], c[0])
		x2, x3 := transpose(a[1], c[1])
		x4, x5 := transpose(a[2], c[2])
		x6, x7 := transpose(a[3], c[3])
		x0, x1, x2, x3, x4, x5, x6, x7 = idct8(x0, x1, x2, x3, x4, x5, x6, x7)
		p, q := (*[8]byte)(dst[r*stride:]), (*[8]byte)(dst[(r+1)*stride:])
		for i, x := range [8]int64{x0, x1, x2, x3, x4, x5, x6, x7} {
			p[i], q[i] = clamp(int32(x)>>idctDone), clamp(int32((x+1<<31)>>(32+idctDone)))
		}
	}
}

// transpose takes two columns of one row and of the next, and returns two rows of one column and of the next, without
// idctDrop bits.
func transpose(a, c int64) (_, _ int64) {
	const low = 1 << 31 // pays back what the lower lane has borrowed
	return int64(int32(a)>>idctDrop) + int64(int32(c)>>idctDrop)<<32,
		(a+low)>>(32+idctDrop) + (c+low)>>(32+idctDrop)<<32
}

func clamp(v int32) byte {
	if uint32(v) > 255 {
		v = ^(v >> 31)
	}
	return byte(v)
}

func idct8(x0, x1, x2, x3, x4, x5, x6, x7 int64) (_, _, _, _, _, _, _, _ int64) {
	x0, x4 = (x0+x4)<<8, (x0-x4)<<8
	x2, x6 = (x2+x6)<<8, (x2-x6)*idctC4
	x6 -= x2
	x0, x2, x4, x6 = x0+x2, x0-x2, x4+x6, x4-x6

	x5, x3 = x5+x3, x5-x3
	x1, x7 = x1+x7, x1-x7
	both := (x3 + x7) * idctSum
	x7, x3 = x7*idctLow-both, both-x3*idctHigh
	x1, x5 = (x1+x5)<<8, (x1-x5)*idctC4
	x3 -= x1
	x5 -= x3
	x7 += x5
	return x0 + x1, x4 + x3, x6 + x5, x2 - x7, x2 + x7, x6 - x5, x4 - x3, x0 - x1
}
