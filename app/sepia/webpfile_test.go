package sepia_test

import "encoding/binary"

// webpLossless writes a VP8L image of 0xAARRGGBB pixels with literal codes of equal length, the simplest stream there
// is.
func webpLossless(width, height int, pixel func(x, y int) uint32) []byte {
	w := &lsbWriter{}
	w.write(0x2f, 8)
	w.write(uint32(width-1), 14)
	w.write(uint32(height-1), 14)
	w.write(1, 1) // alpha is used
	w.write(0, 3) // version
	w.write(0, 1) // no transform
	w.write(0, 1) // no colour cache
	w.write(0, 1) // one group of Huffman codes
	for _, alphabet := range []int{256 + 24, 256, 256, 256} {
		w.flatCode(alphabet)
	}
	w.write(1, 1) // distances: a simple code
	w.write(0, 1) // of one symbol
	w.write(0, 1) // of one bit
	w.write(0, 1) // which is 0
	for y := range height {
		for x := range width {
			p := pixel(x, y)
			for _, c := range []uint32{p >> 8, p >> 16, p, p >> 24} { // green, red, blue, alpha
				w.reversed(c & 0xff)
			}
		}
	}
	return w.flush()
}

// webpTrees writes a VP8L image that makes the decoder build as many Huffman trees of the largest size as it allows,
// and ends there.
func webpTrees(width, height int) []byte {
	const tileBits, groups, cacheBits = 2, 2600, 11
	w := &lsbWriter{}
	w.write(0x2f, 8)
	w.write(uint32(width-1), 14)
	w.write(uint32(height-1), 14)
	w.write(0, 4) // no alpha, version
	w.write(0, 1) // no transform
	w.write(1, 1)
	w.write(cacheBits, 4)
	w.write(1, 1) // a picture says which group each tile has
	w.write(tileBits-2, 3)
	w.write(0, 1) // which has no cache
	for _, alphabet := range []int{256 + 24, 256, 256, 256} {
		w.flatCode(alphabet)
	}
	w.write(1, 1)
	w.write(0, 3)
	tiles := ((width + 3) / 4) * ((height + 3) / 4)
	for i := range tiles {
		group := uint32(i % groups)
		w.reversed(group & 0xff) // green
		w.reversed(group >> 8)   // red
		w.reversed(0)
		w.reversed(0)
	}
	for range groups {
		w.fullCode(256+24+1<<cacheBits, 11)
		for range 3 {
			w.fullCode(256, 8)
		}
		w.fullCode(40, 5)
	}
	return w.flush()
}

// fullCode describes a code of that many bits for as many symbols as it has room for.
func (w *lsbWriter) fullCode(alphabet, bits int) {
	order := []int{17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	w.write(0, 1)
	w.write(uint32(len(order)-4), 4)
	for _, length := range order {
		if length == 0 || length == bits {
			w.write(1, 3)
		} else {
			w.write(0, 3)
		}
	}
	w.write(0, 1)
	for i := range alphabet {
		if i < 1<<bits {
			w.write(1, 1)
		} else {
			w.write(0, 1)
		}
	}
}

// flatCode describes a code of 8 bits for the first 256 symbols, and none for the rest.
func (w *lsbWriter) flatCode(alphabet int) {
	w.write(0, 1)    // not a simple code
	w.write(12-4, 4) // lengths of the code length code, in its fixed order 17 18 0 1 2 3 4 5 16 6 7 8
	for _, length := range []uint32{0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1} {
		w.write(length, 3)
	}
	w.write(0, 1) // all symbols are given
	for i := range alphabet {
		if i < 256 {
			w.write(1, 1) // length 8
		} else {
			w.write(0, 1) // length 0
		}
	}
}

type lsbWriter struct {
	out  []byte
	bits uint64
	n    int
}

func (w *lsbWriter) write(v uint32, n int) {
	w.bits, w.n = w.bits|uint64(v)<<w.n, w.n+n
	for ; w.n >= 8; w.n -= 8 {
		w.out, w.bits = append(w.out, byte(w.bits)), w.bits>>8
	}
}

// reversed writes a Huffman code of 8 bits, which starts with its most significant one.
func (w *lsbWriter) reversed(v uint32) {
	for i := 7; i >= 0; i-- {
		w.write(v>>i&1, 1)
	}
}

func (w *lsbWriter) flush() []byte {
	w.write(0, 7)
	return w.out
}

type webpChunk struct {
	id   string
	body []byte
}

// webpFile puts chunks into a container.
func webpFile(chunks ...webpChunk) []byte {
	b := []byte("WEBP")
	for _, c := range chunks {
		b = binary.LittleEndian.AppendUint32(append(b, c.id...), uint32(len(c.body)))
		b = append(append(b, c.body...), make([]byte, len(c.body)&1)...)
	}
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(b))), b...)
}

// webpCanvas is the VP8X chunk.
func webpCanvas(width, height int, flags byte) webpChunk {
	b := binary.LittleEndian.AppendUint32([]byte{flags, 0, 0, 0}, uint32(width-1))[:7]
	return webpChunk{"VP8X", binary.LittleEndian.AppendUint32(b, uint32(height-1))[:10]}
}

// webpChunks takes a container apart.
func webpChunks(file []byte) (chunks []webpChunk) {
	for b := file[12:]; len(b) >= 8; {
		n := int(binary.LittleEndian.Uint32(b[4:]))
		chunks = append(chunks, webpChunk{string(b[:4]), b[8 : 8+n]})
		b = b[8+n+n&1:]
	}
	return chunks
}
