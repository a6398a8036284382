package pngstream_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
)

// file describes a PNG of any kind. Its filtered rows are noise, which every decoder must turn into the same pixels.
type file struct {
	width, height int
	depth, colour byte
	interlaced    bool
	palette       []byte // the PLTE chunk
	transparency  []byte // the tRNS chunk
	filter        int    // of all rows; negative: of a row any
	level         int    // of zlib
}

const signature = "\x89PNG\r\n\x1a\n"

// adam7 has the first column and row of each pass of an interlaced picture, then the steps between them.
var adam7 = [][4]int{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}

var channels = map[byte]int{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}

func chunk(name string, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = append(append(b, name...), body...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// head returns the chunks before the picture.
func (f file) head() []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(f.width))
	b = binary.BigEndian.AppendUint32(b, uint32(f.height))
	b = append(b, f.depth, f.colour, 0, 0, 0)
	if f.interlaced {
		b[12] = 1
	}
	out := append([]byte(signature), chunk("IHDR", b)...)
	if f.palette != nil {
		out = append(out, chunk("PLTE", f.palette)...)
	}
	if f.transparency != nil {
		out = append(out, chunk("tRNS", f.transparency)...)
	}
	return out
}

// rows returns the filtered rows.
func (f file) rows() []byte {
	passes := [][4]int{{0, 0, 1, 1}}
	if f.interlaced {
		passes = adam7
	}
	noise := rand.New(rand.NewPCG(1, 2))
	var out []byte
	for _, p := range passes {
		bits := (f.width - p[0] + p[2] - 1) / p[2] * channels[f.colour] * int(f.depth)
		for y := p[1]; y < f.height && bits > 0; y += p[3] {
			filter := f.filter
			if filter < 0 {
				filter = noise.IntN(5)
			}
			out = append(out, byte(filter))
			for range (bits + 7) / 8 {
				out = append(out, byte(noise.Uint32())>>noise.IntN(8))
			}
		}
	}
	return out
}

func compress(data []byte, level int) []byte {
	var b bytes.Buffer
	z, err := zlib.NewWriterLevel(&b, level)
	if err != nil {
		panic(err)
	}
	if _, err := z.Write(data); err != nil {
		panic(err)
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// bytes returns the file with one IDAT chunk.
func (f file) bytes() []byte { return f.withData(compress(f.rows(), f.level)) }

// withData returns the file with each piece of compressed data in an IDAT chunk of its own.
func (f file) withData(pieces ...[]byte) []byte {
	out := f.head()
	for _, p := range pieces {
		out = append(out, chunk("IDAT", p)...)
	}
	return append(out, chunk("IEND", nil)...)
}
