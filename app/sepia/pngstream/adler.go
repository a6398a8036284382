package pngstream

import "encoding/binary"

const (
	adlerModulus = 65521
	vectorSize   = 32
	vectorMost   = 64 << 10 // bytes for which no sum of adlerAVX2 overflows
	adlerWords   = 22       // for which no 16-bit sum of adler overflows: 255 * 22 * 23 / 2 < 65536
)

// adler continues an Adler-32 checksum, which begins with 1. hash/adler32 adds byte by byte, and takes a seventh of the
// time of decoding a photo.
func adler(sum uint32, p []byte) uint32 {
	a, b := uint64(sum&0xffff), uint64(sum>>16)
	for vector && len(p) >= vectorSize {
		n := min(len(p)&^(vectorSize-1), vectorMost)
		bytes, sums, weighted := adlerAVX2(p[:n])
		b = (b + uint64(n)*a + vectorSize*sums + weighted) % adlerModulus
		a = (a + bytes) % adlerModulus
		p = p[n:]
	}
	for len(p) >= wordSize {
		n := min(len(p)/wordSize, adlerWords) * wordSize
		a, b = adlerWordwise(a, b, p[:n])
		p = p[n:]
	}
	for _, x := range p {
		a += uint64(x)
		b += a
	}
	return uint32(b%adlerModulus<<16 | a%adlerModulus)
}

// adlerWordwise adds at most adlerWords words to both sums, eight bytes at a time.
func adlerWordwise(a, b uint64, p []byte) (uint64, uint64) {
	const bytes, pairs = 0x00ff00ff00ff00ff, 0x0000ffff0000ffff
	// For each of the eight places in a word, the sum of its bytes, and the sum of these sums.
	var even, odd, evenSums, oddSums uint64
	for i := 0; i+wordSize <= len(p); i += wordSize {
		x := binary.LittleEndian.Uint64(p[i : i+wordSize])
		even += x & bytes
		odd += x >> 8 & bytes
		evenSums += even
		oddSums += odd
	}
	sums := halves(evenSums&pairs+evenSums>>16&pairs) + halves(oddSums&pairs+oddSums>>16&pairs)
	// The later a byte is in its word, the less it counts: by its place. The upper halves have the places 4 to 7.
	b0, b1, b2, b3 := even&pairs, odd&pairs, even>>16&pairs, odd>>16&pairs
	all := b0 + b1 + b2 + b3
	places := halves(b1+2*b2+3*b3) + 4*(all>>32)
	b += uint64(len(p))*a + wordSize*sums - places
	a += halves(all)
	return a % adlerModulus, b % adlerModulus
}

// halves returns the sum of the upper and the lower half of x.
func halves(x uint64) uint64 { return x>>32 + x&0xffffffff }
