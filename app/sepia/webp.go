package sepia

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"io"
)

// exifPrefix precedes EXIF in a JPEG and, contrary to the format, in the WebP files of some phones.
const exifPrefix = "Exif\x00\x00"

// webpFrame describes the image of a WebP, or the first one of an animation, as parts of the file. The decoder gets it
// in a new container, because golang.org/x/image/webp rejects animations and files with EXIF or a colour profile.
type webpFrame struct {
	width, height int
	lossless      bool        // a VP8L chunk, which has its own alpha; else VP8
	data, alpha   span        // alpha is empty when there is no ALPH chunk
	canvas        image.Point // the size of the photo
	at            image.Point // the place of the image on the canvas
}

// covers reports whether the image is all of the photo.
func (f webpFrame) covers() bool { return f.canvas == image.Pt(f.width, f.height) }

// span is a part of a file. Its length is that declared by the chunk; the file may be shorter.
type span struct{ pos, len int64 }

func (p span) of(raw []byte) []byte {
	n := int64(len(raw))
	return raw[min(p.pos, n):min(p.pos+p.len, n)]
}

// webpReader reads the chunks of a WebP.
type webpReader struct {
	*source
	maxPixels   int64
	extended    bool            // a VP8X chunk came first
	canvas      image.Point     // its size
	place       image.Rectangle // that the image must fill: the canvas, or the part for the first image of an animation
	frame       webpFrame
	orientation int
	colours     colours
}

// readWebP reads all chunks. The header is complete with the first image; after it only EXIF matters.
func readWebP(s *source, maxPixels int64) (Photo, error) {
	r := &webpReader{source: s, maxPixels: maxPixels, colours: colours{channels: 3}}
	if err := r.skip(sniffLen); err != nil {
		return Photo{}, err
	}
	// The length in the RIFF header is ignored, because some programs write a wrong one.
	for {
		if err := r.chunk(); err != nil {
			if r.frame.width == 0 || !ofTheBody(err) {
				return Photo{}, err
			}
			break
		}
	}
	f := r.frame
	at := func(width, height int) cost { // with the same length of data, so it overestimates
		scaled := f
		scaled.width, scaled.height = max(1, f.width*width/f.canvas.X), max(1, f.height*height/f.canvas.Y)
		scaled.canvas = image.Pt(width, height)
		return scaled.cost()
	}
	return Photo{Width: f.canvas.X, Height: f.canvas.Y, Orientation: r.orientation, webp: f, cost: f.cost(), at: at,
		colours: r.colours}, nil
}

// chunk reads one chunk. It ignores a second image, and an ALPH chunk after the image. Of the first frame of an
// animation it reads only the head, so that the chunks in it come next.
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
	case id == "ANMF" && first:
		return r.readFrame()
	case id == "ICCP" && first && r.extended && len(r.colours.profile) == 0:
		r.colours.setProfile(span{start, n})
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

// readCanvas reads the VP8X chunk. It ignores its flags, because all that they announce has chunks.
func (r *webpReader) readCanvas() error {
	b, err := r.next(10)
	if err != nil {
		return err
	}
	width, height := 1+uint24(b[4:]), 1+uint24(b[7:])
	r.extended, r.canvas = true, image.Pt(int(width), int(height))
	r.place = image.Rectangle{Max: r.canvas}
	return checkSize(width, height, r.maxPixels)
}

func uint24(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }

// readFrame reads the head of an ANMF chunk. Disposal and blending do not matter for the first frame: it is on an empty
// canvas, transparent as in browsers, which ignore the background colour of the file.
func (r *webpReader) readFrame() error {
	b, err := r.next(16)
	if err != nil {
		return err
	}
	at := image.Pt(2*int(uint24(b)), 2*int(uint24(b[3:])))
	r.place = image.Rectangle{at, at.Add(image.Pt(1+int(uint24(b[6:])), 1+int(uint24(b[9:]))))}
	r.frame.alpha = span{} // of a frame without an image
	if !r.extended || !r.place.In(image.Rectangle{Max: r.canvas}) {
		return unreadable("This WebP is damaged: a frame is not on its canvas.", nil)
	}
	return nil
}

// readLossy reads the frame header of RFC 6386, section 9.1.
func (r *webpReader) readLossy(n int64) error {
	start := r.pos
	b, err := r.next(10)
	if err != nil {
		return err
	}
	const interFrame = 1
	// An inter frame has no size and depends on an earlier frame; a still image is never one.
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
	r.frame.alpha = span{} // an ALPH chunk is only for VP8; here the decoder would fail
	return r.found(bits&0x3fff+1, bits>>14&0x3fff+1, span{start, n}, true)
}

// found stores the image. Its size must be that of its place, so that both sizes can be relied on.
func (r *webpReader) found(width, height uint32, data span, lossless bool) error {
	if err := checkSize(width, height, r.maxPixels); err != nil {
		return err
	}
	size := image.Pt(int(width), int(height))
	if !r.extended {
		r.canvas, r.place = size, image.Rectangle{Max: size}
	}
	if size != r.place.Size() {
		return unreadable("This WebP is damaged: its image and its canvas have different sizes.", nil)
	}
	f := &r.frame
	f.width, f.height, f.data, f.lossless, f.canvas, f.at = size.X, size.Y, data, lossless, r.canvas, r.place.Min
	return nil
}

// open returns the image, as far as raw contains it, in the simplest possible container.
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
	// Only ALPH needs the extended format. Lengths are the actual ones, not the declared ones, because the decoder
	// allocates by them.
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

// losslessPixel bounds the memory of x/image/vp8l per pixel, in bytes: 4, up to 2 more if a palette packs the pixels,
// and the tiles of its transforms. losslessTrees bounds the memory of its Huffman trees: at most 2,600 groups of 80 KB,
// one per 4x4 tile, and 600 bytes per byte of the file that describes them.
const (
	losslessPixel = 7
	treeGroup     = 80 << 10
	maxTreeGroups = 2600
	treePerByte   = 600
)

func losslessTrees(pixels, data int64) int64 {
	return min(maxTreeGroups*treeGroup, (pixels/16+1)*treeGroup, data*treePerByte)
}

// cost returns the memory that x/image/webp allocates. For VP8 these are planes of whole 16x16 macroblocks with 4 bytes
// of filter parameters each, and a copy of the data. ALPH is decoded like a lossless image before.
func (f webpFrame) cost() cost {
	pixels := int64(f.width) * int64(f.height)
	data, alpha := min(f.data.len, MaxBytes), min(f.alpha.len, MaxBytes)
	parts := bands(int64(max(f.canvas.X, f.canvas.Y)), int64(f.canvas.X)*int64(f.canvas.Y))
	// Only the pixels show whether a lossless image is opaque, so the larger result is assumed.
	if f.lossless {
		return cost{decode: losslessPixel*pixels + losslessTrees(pixels, data), image: 4*pixels + parts,
			result: pngResult}
	}
	blocks := ((int64(f.width) + 15) / 16) * ((int64(f.height) + 15) / 16)
	c := cost{decode: blocks*(16*16*3/2+4) + data, image: blocks * 16 * 16 * 3 / 2, planar: true}
	if alpha > 0 {
		c.decode += (losslessPixel+1)*pixels + losslessTrees(pixels, alpha)
		c.image += pixels
	}
	if alpha > 0 || !f.covers() {
		c.image += parts
		c.planar, c.result = false, pngResult
	}
	return c
}
