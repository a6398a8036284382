package e2e

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"hash/adler32"
	"hash/crc32"
	"image"
	"image/color/palette"
	"math/rand/v2"
	"slices"
	"testing"
)

// kind makes photos of one kind and of any size. Files of 50 megapixels take no more than a second to make and a few
// megabytes, because they repeat themselves; a PNG may have rows of up to 32 KiB.
type kind struct {
	name  string
	build func(t testing.TB, width, height int) []byte
}

// kinds are photos of every format and of every way in which they are processed. Those that need the least and the most
// memory come first.
var kinds = []kind{
	{"JPEG", grainyJPEG(0)},
	{"JPEG progressive CMYK", flatJPEG(true, "CMYK", 0x22, 0x11, 0x11, 0x22)},
	{"PNG RGB", pngOf(8, 2, 0, 0, true)},
	{"JPEG progressive 4:4:4", flatJPEG(true, "123", 0x11, 0x11, 0x11)},
	{"PNG 16 bit interlaced turned", pngOf(16, 6, 1, 6, true)},
	{"WebP lossless", losslessWebP},
	{"JPEG CMYK", flatJPEG(false, "CMYK", 0x11, 0x11, 0x11, 0x11)},
	{"JPEG turned", grainyJPEG(6)},
	{"JPEG 4:4:4", flatJPEG(false, "123", 0x11, 0x11, 0x11)},
	{"JPEG RGB", flatJPEG(false, "RGB", 0x11, 0x11, 0x11)},
	{"JPEG grey", flatJPEG(false, "1", 0x11)},
	{"JPEG progressive", flatJPEG(true, "123", 0x22, 0x11, 0x11)},
	{"PNG 16 bit", pngOf(16, 6, 0, 0, false)},
	{"PNG grey", pngOf(8, 0, 0, 0, true)},
	{"PNG 256 colours turned", pngOf(8, 3, 0, 8, true)},
	{"GIF", func(t testing.TB, w, h int) []byte {
		return encodeGIF(t, image.NewPaletted(image.Rect(0, 0, w, h), palette.Plan9))
	}},
	{"WebP lossy", lossyWebP},
}

// exifTurned is EXIF with an orientation and nothing else.
func exifTurned(orientation byte) []byte {
	return append([]byte("MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00"),
		orientation, 0, 0, 0, 0, 0, 0)
}

// jpegSegment appends a segment to a JPEG.
func jpegSegment(b []byte, marker byte, body ...byte) []byte {
	return append(binary.BigEndian.AppendUint16(append(b, 0xff, marker), uint16(2+len(body))), body...)
}

// flatJPEG has a single colour. Its Huffman codes have one bit and mean that nothing changes.
func flatJPEG(progressive bool, ids string, sampling ...byte) func(testing.TB, int, int) []byte {
	return func(_ testing.TB, width, height int) []byte {
		b := []byte("\xff\xd8")
		if len(ids) == 4 {
			b = jpegSegment(b, 0xee, []byte("Adobe\x00\x64\x00\x00\x00\x00\x00")...)
		}
		b = jpegSegment(b, 0xdb, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...)...)
		frame := []byte{8, byte(height >> 8), byte(height), byte(width >> 8), byte(width), byte(len(ids))}
		scan := []byte{byte(len(ids))}
		blocks, most := 0, slices.Max(sampling)
		mcuWidth, mcuHeight := 8*int(most>>4), 8*int(most&0xf)
		for i, s := range sampling {
			frame = append(frame, ids[i], s, 0)
			scan = append(scan, ids[i], 0)
			blocks += int(s>>4) * int(s&0xf)
		}
		blocks *= (width + mcuWidth - 1) / mcuWidth * ((height + mcuHeight - 1) / mcuHeight)
		marker, last, bits := byte(0xc0), byte(63), 2*blocks
		if progressive { // with the means of the blocks only
			marker, last, bits = 0xc2, 0, blocks
		}
		b = jpegSegment(b, marker, frame...)
		for _, table := range []byte{0x00, 0x10} {
			b = jpegSegment(b, 0xc4, append([]byte{table, 1}, make([]byte, 16)...)...)
		}
		b = jpegSegment(b, 0xda, append(scan, 0, last, 0)...)
		return append(append(b, make([]byte, (bits+7)/8)...), 0xff, 0xd9)
	}
}

// grainyJPEG repeats one row of MCUs with noise, each time after a restart marker.
func grainyJPEG(orientation byte) func(testing.TB, int, int) []byte {
	return func(t testing.TB, width, height int) []byte {
		row := encodeJPEG(t, noisy(scene(1, width, 16), 1))
		frame, scan := bytes.Index(row, []byte("\xff\xc0")), bytes.Index(row, []byte("\xff\xda"))
		binary.BigEndian.PutUint16(row[frame+5:], uint16(height))
		data := scan + 2 + int(binary.BigEndian.Uint16(row[scan+2:]))
		b := []byte("\xff\xd8")
		if orientation > 0 {
			b = jpegSegment(b, 0xe1, append([]byte("Exif\x00\x00"), exifTurned(orientation)...)...)
		}
		b = append(b, row[2:scan]...)
		b = jpegSegment(b, 0xdd, byte((width+15)/16>>8), byte((width+15)/16))
		b = append(b, row[scan:data]...)
		for i := range (height + 15) / 16 {
			if i > 0 {
				b = append(b, 0xff, 0xd0+byte((i-1)%8))
			}
			b = append(b, row[data:len(row)-2]...)
		}
		return append(b, 0xff, 0xd9)
	}
}

// pngOf makes a PNG of which each row adds the same bytes to the one above. If these are noise, the file is still
// small, but the result of the filter cannot be compressed.
func pngOf(depth, colour, interlace, orientation byte, noisy bool) func(testing.TB, int, int) []byte {
	pixel := map[byte]int{0: 1, 2: 3, 3: 1, 6: 4}[colour] * int(depth) / 8
	return func(t testing.TB, width, height int) []byte {
		added := make([]byte, max(768, width*pixel))
		r := rand.New(rand.NewPCG(uint64(colour), 3))
		for i := range added {
			if noisy {
				added[i] = byte(r.Uint32())
			}
		}
		rows, sum := []byte{0x78, 0x01}, adler32.New() // the header of zlib
		for _, pass := range pngPasses(interlace) {
			across, down := (width-pass.Min.X+pass.Max.X-1)/pass.Max.X, (height-pass.Min.Y+pass.Max.Y-1)/pass.Max.Y
			const up = 2
			row := append([]byte{up}, added[:across*pixel]...)
			again := deflated(t, row, row)
			rows = append(rows, deflated(t, row, nil)...)
			sum.Write(row)
			for range down - 1 {
				rows = append(rows, again...)
				sum.Write(row)
			}
		}
		rows = sum.Sum(append(rows, 0x03, 0x00)) // after an empty last block
		b := []byte("\x89PNG\r\n\x1a\n")
		head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(width)), uint32(height))
		b = pngChunk(b, "IHDR", append(head, depth, colour, 0, 0, interlace))
		if colour == 3 {
			b = pngChunk(b, "PLTE", added[:768])
		}
		if orientation > 0 {
			b = pngChunk(b, "eXIf", exifTurned(orientation))
		}
		return pngChunk(pngChunk(b, "IDAT", rows), "IEND", nil)
	}
}

// deflated returns whole blocks of a deflate stream that may be repeated: before them is before, of up to 32 KiB.
func deflated(t testing.TB, data, before []byte) []byte {
	var blocks bytes.Buffer
	w, err := flate.NewWriterDict(&blocks, flate.BestCompression, before)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(data)
	if err = errors.Join(err, w.Flush()); err != nil {
		t.Fatal(err)
	}
	return blocks.Bytes()
}

// pngPasses returns the passes of a PNG: from Min every Max columns and rows.
func pngPasses(interlace byte) []image.Rectangle {
	if interlace == 0 {
		return []image.Rectangle{{image.Pt(0, 0), image.Pt(1, 1)}}
	}
	return []image.Rectangle{{image.Pt(0, 0), image.Pt(8, 8)}, {image.Pt(4, 0), image.Pt(8, 8)},
		{image.Pt(0, 4), image.Pt(4, 8)}, {image.Pt(2, 0), image.Pt(4, 4)}, {image.Pt(0, 2), image.Pt(2, 4)},
		{image.Pt(1, 0), image.Pt(2, 2)}, {image.Pt(0, 1), image.Pt(1, 2)}}
}

func pngChunk(b []byte, name string, body []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	start := len(b)
	b = append(append(b, name...), body...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[start:]))
}

// lossyWebP is a VP8 frame of zeros, which mean the default everywhere.
func lossyWebP(_ testing.TB, width, height int) []byte {
	blocks := (width + 15) / 16 * ((height + 15) / 16)
	modes := 64 + blocks // a byte for each block suffices
	b := []byte{byte(modes<<5) | 1<<4, byte(modes >> 3), byte(modes >> 11), 0x9d, 0x01, 0x2a,
		byte(width), byte(width >> 8), byte(height), byte(height >> 8)}
	return webp("VP8 ", append(b, make([]byte, modes+64+4*blocks)...))
}

// losslessWebP has a single colour: each of its Huffman codes has one symbol, which takes no bits.
func losslessWebP(_ testing.TB, width, height int) []byte {
	b := []byte{0x2f}
	b = binary.LittleEndian.AppendUint32(b, uint32(width-1)|uint32(height-1)<<14)
	// No transform, cache or groups of codes (3 bits), then five times: simple, one symbol, of one bit, 0 (4 bits).
	const bits = 0b0001_0001_0001_0001_0001_000
	return webp("VP8L", append(binary.LittleEndian.AppendUint32(b, bits), 0, 0))
}

func webp(id string, body []byte) []byte {
	body = append(body, make([]byte, len(body)&1)...)
	b := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(12+len(body)))
	b = binary.LittleEndian.AppendUint32(append(b, "WEBP"+id...), uint32(len(body)))
	return append(b, body...)
}
