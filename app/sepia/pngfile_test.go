package sepia_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
)

// pngFile writes PNGs of every kind, which image/png does not: all depths, interlaced, with tRNS and eXIf.
type pngFile struct {
	width, height int
	depth, colour byte
	interlaced    bool
	palette       []byte // RGB triples
	transparency  []byte // the tRNS chunk
	exif          []byte // the eXIf chunk
	exifLast      bool   // behind the picture
	level         int    // of zlib
	// sample returns channel c of a pixel, of depth bits.
	sample func(x, y, c int) uint16
}

var pngChannelCount = map[byte]int{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}

func pngChunk(name string, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = append(append(b, name...), body...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

func (f pngFile) ihdr() []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(f.width))
	b = binary.BigEndian.AppendUint32(b, uint32(f.height))
	b = append(b, f.depth, f.colour, 0, 0, 0)
	if f.interlaced {
		b[12] = 1
	}
	return append([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", b)...)
}

func (f pngFile) bytes() []byte {
	out := f.ihdr()
	if f.palette != nil {
		out = append(out, pngChunk("PLTE", f.palette)...)
	}
	if f.transparency != nil {
		out = append(out, pngChunk("tRNS", f.transparency)...)
	}
	if f.exif != nil && !f.exifLast {
		out = append(out, pngChunk("eXIf", f.exif)...)
	}
	var data bytes.Buffer
	z, err := zlib.NewWriterLevel(&data, f.level)
	if err != nil {
		panic(err)
	}
	passes := [][4]int{{0, 0, 1, 1}} // first column and row, then the steps between them
	if f.interlaced {
		passes = [][4]int{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}
	}
	for _, p := range passes {
		for y := p[1]; y < f.height && p[0] < f.width; y += p[3] {
			if _, err := z.Write(f.row(p[0], y, p[2])); err != nil {
				panic(err)
			}
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	out = append(out, pngChunk("IDAT", data.Bytes())...)
	if f.exif != nil && f.exifLast {
		out = append(out, pngChunk("eXIf", f.exif)...)
	}
	return append(out, pngChunk("IEND", nil)...)
}

// row packs every step-th pixel of row y, without a filter.
func (f pngFile) row(x0, y, step int) []byte {
	row, bits, n := []byte{0}, uint(0), uint(0)
	for x := x0; x < f.width; x += step {
		for c := range pngChannelCount[f.colour] {
			bits, n = bits<<f.depth|uint(f.sample(x, y, c)), n+uint(f.depth)
			for ; n >= 8; n -= 8 {
				row = append(row, byte(bits>>(n-8)))
			}
		}
	}
	if n > 0 {
		row = append(row, byte(bits<<(8-n)))
	}
	return row
}
