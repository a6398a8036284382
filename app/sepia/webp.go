package sepia

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// exifPrefix stands before EXIF in a JPEG, and, against the rules, in the WebP files of some phones.
const exifPrefix = "Exif\x00\x00"

// webpFrame is the one picture of a WebP, as parts of the file. The decoder gets it in a container of our own:
// golang.org/x/image/webp refuses a file with EXIF or a colour profile.
type webpFrame struct {
	width, height int
	lossless      bool // a VP8L chunk, which has its own alpha; else VP8
	data, alpha   span // alpha is empty when there is no ALPH chunk
}

// span is a part of a file. Its length is what a chunk declares; the file may end before.
type span struct{ pos, len int64 }

func (p span) of(raw []byte) []byte {
	n := int64(len(raw))
	return raw[min(p.pos, n):min(p.pos+p.len, n)]
}

// webpReader is the state of walking through the chunks of a WebP.
type webpReader struct {
	*source
	maxPixels                 int64
	extended                  bool // a VP8X chunk came first
	canvasWidth, canvasHeight int
	frame                     webpFrame
	orientation               int
}

// readWebP walks through the chunks. The header is complete at the first picture; behind it only EXIF matters.
func readWebP(s *source, maxPixels int64) (Photo, error) {
	r := &webpReader{source: s, maxPixels: maxPixels}
	if err := r.skip(sniffLen); err != nil {
		return Photo{}, err
	}
	// The length in the RIFF header is not needed, and some writers leave it wrong: chunks are read to the end.
	for {
		if err := r.chunk(); err != nil {
			if r.frame.width == 0 || !ofTheBody(err) {
				return Photo{}, err
			}
			break
		}
	}
	f := r.frame
	at := func(width, height int) cost { // with as many bytes, so it is rather too much
		scaled := f
		scaled.width, scaled.height = width, height
		return scaled.cost()
	}
	return Photo{Width: f.width, Height: f.height, Orientation: r.orientation, webp: f, cost: f.cost(), at: at}, nil
}

// chunk reads one chunk. The first picture counts; a second one, and an ALPH chunk behind the picture, is ignored.
func (r *webpReader) chunk() error {
	b, err := r.next(8)
	if err != nil {
		return err
	}
	id, n := string(b[:4]), int64(binary.LittleEndian.Uint32(b[4:]))
	start := r.pos
	switch first := r.frame.width == 0; {
	case id == "VP8X" && first:
		err = r.readCanvas()
	case id == "ANIM", id == "ANMF":
		err = errAnimated
	case id == "ALPH" && first:
		r.frame.alpha = span{start, n}
	case id == "VP8 " && first:
		err = r.readLossy(n)
	case id == "VP8L" && first:
		err = r.readLossless(n)
	case id == "EXIF" && r.extended && r.orientation == 0:
		var exif []byte
		exif, err = r.block(n, exifLimit)
		r.orientation = exifOrientation(bytes.TrimPrefix(exif, []byte(exifPrefix)))
	}
	if err != nil {
		return err
	}
	n += n & 1 // chunks are padded to an even length
	return r.skip(max(0, start+n-r.pos))
}

var errAnimated = unsupported("Animated WebP files are not developed; please send a still photo.")

// readCanvas reads the VP8X chunk. Its flags for alpha, EXIF and profiles are not looked at, as the chunks themselves say
// so; the one for animation is, because the first frame may be far away.
func (r *webpReader) readCanvas() error {
	const animated = 1 << 1
	b, err := r.next(10)
	if err != nil {
		return err
	}
	if b[0]&animated != 0 {
		return errAnimated
	}
	width := 1 + (uint32(b[4]) | uint32(b[5])<<8 | uint32(b[6])<<16)
	height := 1 + (uint32(b[7]) | uint32(b[8])<<8 | uint32(b[9])<<16)
	r.extended, r.canvasWidth, r.canvasHeight = true, int(width), int(height)
	return checkSize(width, height, r.maxPixels)
}

// readLossy reads the frame header of RFC 6386, section 9.1.
func (r *webpReader) readLossy(n int64) error {
	start := r.pos
	b, err := r.next(10)
	if err != nil {
		return err
	}
	const interFrame = 1
	// An inter frame has no size and needs the frame before; a still picture is never one.
	if b[0]&interFrame != 0 || string(b[3:6]) != "\x9d\x01\x2a" || n < 10 {
		return unreadable("This WebP is damaged.", errors.New("VP8 frame header"))
	}
	width, height := binary.LittleEndian.Uint16(b[6:])&0x3fff, binary.LittleEndian.Uint16(b[8:])&0x3fff
	return r.found(uint32(width), uint32(height), span{start, n}, false)
}

// readLossless reads the image header of the WebP lossless bitstream.
func (r *webpReader) readLossless(n int64) error {
	start := r.pos
	b, err := r.next(5)
	if err != nil {
		return err
	}
	bits := binary.LittleEndian.Uint32(b[1:])
	if b[0] != 0x2f || bits>>29 != 0 || n < 5 {
		return unreadable("This WebP is damaged.", errors.New("VP8L image header"))
	}
	r.frame.alpha = span{} // an ALPH chunk belongs to VP8; here it would have the decoder fail
	return r.found(bits&0x3fff+1, bits>>14&0x3fff+1, span{start, n}, true)
}

// found keeps the picture. It must have the size of the canvas: whoever trusts one of two sizes is lied to by the other.
func (r *webpReader) found(width, height uint32, data span, lossless bool) error {
	if err := checkSize(width, height, r.maxPixels); err != nil {
		return err
	}
	if r.extended && (int(width) != r.canvasWidth || int(height) != r.canvasHeight) {
		return unreadable("This WebP is damaged: its picture and its canvas have different sizes.", nil)
	}
	f := &r.frame
	f.width, f.height, f.data, f.lossless = int(width), int(height), data, lossless
	return nil
}

// open returns the picture in the simplest container that can hold it, as far as raw goes.
func (f webpFrame) open(raw []byte) io.Reader {
	data, alpha := f.data.of(raw), f.alpha.of(raw)
	id := "VP8 "
	if f.lossless {
		id = "VP8L"
	}
	var parts []io.Reader
	size := len("WEBP")
	add := func(id string, body []byte) {
		head := binary.LittleEndian.AppendUint32([]byte(id), uint32(len(body)))
		parts = append(parts, bytes.NewReader(head), bytes.NewReader(body), bytes.NewReader(make([]byte, len(body)&1)))
		size += len(head) + len(body) + len(body)&1
	}
	// ALPH is the one chunk that needs the extended form. Lengths are those of what is there, not of what was declared:
	// the decoder allocates by them.
	if len(alpha) > 0 {
		const hasAlpha = 1 << 4
		canvas := binary.LittleEndian.AppendUint32([]byte{hasAlpha, 0, 0, 0}, uint32(f.width-1))[:7]
		add("VP8X", binary.LittleEndian.AppendUint32(canvas, uint32(f.height-1))[:10])
		add("ALPH", alpha)
	}
	add(id, data)
	head := append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(size)), "WEBP"...)
	return io.MultiReader(append([]io.Reader{bytes.NewReader(head)}, parts...)...)
}

// losslessPixel bounds what x/image/vp8l allocates for a pixel: 4 bytes, up to 2 more when a palette packs the
// pixels first, and the tiles of its transforms. losslessTrees bounds its Huffman trees: at most 2,600 groups of
// 80 KB, one for each 4x4 tile, and 600 bytes for each byte of the file that describes them.
const (
	losslessPixel = 7
	treeGroup     = 80 << 10
	maxTreeGroups = 2600
	treePerByte   = 600
)

func losslessTrees(pixels, data int64) int64 {
	return min(maxTreeGroups*treeGroup, (pixels/16+1)*treeGroup, data*treePerByte)
}

// cost counts what x/image/webp allocates: for VP8 planes of whole 16x16 macroblocks with 4 bytes of filter
// parameters each, and a copy of the data; ALPH is decoded like a lossless picture first.
func (f webpFrame) cost() cost {
	pixels := int64(f.width) * int64(f.height)
	data, alpha := min(f.data.len, MaxBytes), min(f.alpha.len, MaxBytes)
	// Whether a lossless picture is opaque shows only in its pixels, so the larger result is assumed.
	if f.lossless {
		return cost{decode: losslessPixel*pixels + losslessTrees(pixels, data), image: 4 * pixels, result: pngResult}
	}
	blocks := ((int64(f.width) + 15) / 16) * ((int64(f.height) + 15) / 16)
	c := cost{decode: blocks*(16*16*3/2+4) + data, image: blocks * 16 * 16 * 3 / 2, planar: true, result: jpegResult}
	if alpha > 0 {
		c.decode += (losslessPixel+1)*pixels + losslessTrees(pixels, alpha)
		c.image += pixels
		c.reduce, c.planar, c.result = 4*pixels, false, pngResult
	}
	return c
}
