package sepia

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image/jpeg"
)

// The JPEG markers that image/jpeg supports. It fails at any other one.
const (
	markerSOF0  = 0xc0 // baseline
	markerSOF2  = 0xc2 // progressive
	markerDHT   = 0xc4
	markerRST0  = 0xd0
	markerRST7  = 0xd7
	markerEOI   = 0xd9
	markerSOS   = 0xda // start of scan
	markerDQT   = 0xdb
	markerDRI   = 0xdd
	markerAPP0  = 0xe0
	markerAPP1  = 0xe1
	markerAPP2  = 0xe2
	markerAPP14 = 0xee
	markerAPP15 = 0xef
	markerCOM   = 0xfe
)

// jpegFrame has the properties that determine the memory for decoding.
type jpegFrame struct {
	width, height int
	orientation   int
	progressive   bool
	components    []jpegComponent
	jfif          bool
	adobe         bool
	transform     byte // of the Adobe segment; 0 means RGB or CMYK without conversion
}

type jpegComponent struct{ id, h, v byte }

// jpegReader reads the segments of a JPEG.
type jpegReader struct {
	*source
	maxPixels   int64
	frame       jpegFrame
	orientation int
	profile     profileParts
	scans       int
}

// readJPEG reads all markers up to the end of the image. The header is complete at the first scan. After it readJPEG
// only counts scans, and leaves other errors to the decoder.
func readJPEG(s *source, maxPixels int64) (Photo, error) {
	r := &jpegReader{source: s, maxPixels: maxPixels}
	if err := r.skip(2); err != nil {
		return Photo{}, err
	}
	for {
		more, err := r.segment()
		if err != nil && (r.scans == 0 || r.scans > MaxScans || !ofTheBody(err)) {
			return Photo{}, err
		}
		if err != nil || !more {
			break
		}
	}
	f := &r.frame
	f.orientation = r.orientation
	c := colours{channels: len(f.components)}
	c.setProfile(r.profile.all()...)
	at := func(width, height int) cost {
		scaled := *f
		scaled.width, scaled.height = width, height
		return scaled.cost()
	}
	p := Photo{Width: f.width, Height: f.height, Orientation: r.orientation, cost: f.cost(), at: at,
		colours: c}
	if f.progressive || r.scans > len(f.components) {
		p.passes = r.scans
	}
	return p, nil
}

// segment reads up to the next marker and the segment after it. It reports whether more may follow.
func (r *jpegReader) segment() (more bool, err error) {
	marker, err := r.marker()
	switch {
	case err != nil:
		return false, err
	case marker == markerEOI && r.scans > 0:
		return false, nil // the decoder does not read what follows, such as the thumbnails or videos of phones
	case markerRST0 <= marker && marker <= markerRST7:
		return true, nil
	case !knownMarker(marker):
		return false, unreadable(otherKind(marker), fmt.Errorf("marker %#x", marker))
	}
	b, err := r.next(2)
	if err != nil {
		return false, err
	}
	n := int64(binary.BigEndian.Uint16(b)) - 2
	if n < 0 && (marker >= markerAPP0 && marker <= markerAPP15 || marker == markerCOM) {
		n = 0 // as the decoder reads it
	}
	if n < 0 {
		return false, unreadable("This JPEG is damaged.", fmt.Errorf("segment %#x without length", marker))
	}
	switch marker {
	case markerSOF0, markerSOF0 + 1, markerSOF2:
		return true, r.startOfFrame(marker, n)
	case markerSOS:
		return true, r.startOfScan(n)
	case markerAPP2:
		return true, r.profilePart(n)
	case markerAPP0, markerAPP1, markerAPP14:
		return true, r.application(marker, n)
	}
	return true, r.skip(n)
}

// otherKind returns the refusal of a JPEG that has the marker of another kind.
func otherKind(marker byte) string {
	kind := ""
	switch {
	case marker == 0xc3:
		kind = "a lossless JPEG"
	case marker == 0xc9 || marker == 0xca || marker == 0xcc:
		kind = "a JPEG with arithmetic coding"
	case marker == 0xcb:
		kind = "a lossless JPEG with arithmetic coding"
	case 0xc5 <= marker && marker <= 0xcf || marker == 0xde:
		kind = "a hierarchical JPEG"
	case marker == 0xf7:
		kind = "a JPEG-LS file"
	case marker == 0xd8:
		return "This JPEG is damaged: it starts a second time. Please send the photo as its camera or program saved it."
	default:
		return "This kind of JPEG cannot be read; please save it as a plain one."
	}
	return "This is " + kind + ", which cannot be processed; please save it as a plain JPEG."
}

func knownMarker(m byte) bool {
	switch m {
	case markerSOF0, markerSOF0 + 1, markerSOF2, markerDHT, markerSOS, markerDQT, markerDRI, markerCOM:
		return true
	}
	return markerAPP0 <= m && m <= markerAPP15
}

// marker discards data up to the next marker (scan data, stuffed zeros, fill bytes) and returns the marker.
func (r *jpegReader) marker() (byte, error) {
	for {
		if err := r.past(0xff); err != nil {
			return 0, err
		}
		m := byte(0xff)
		for m == 0xff {
			b, err := r.next(1)
			if err != nil {
				return 0, err
			}
			m = b[0]
		}
		if m != 0 {
			return m, nil
		}
	}
}

func (r *jpegReader) startOfFrame(marker byte, n int64) error {
	if r.frame.width != 0 {
		return unreadable("This JPEG is damaged.", errors.New("second frame header"))
	}
	// Precision, size and number of components, then one to four components of 3 bytes.
	if n < 6 || n > 6+3*4 {
		return unreadable("This kind of JPEG cannot be read; please save it as a plain one.",
			fmt.Errorf("frame header of %d bytes", n))
	}
	b, err := r.next(int(n))
	if err != nil {
		return err
	}
	if b[0] != 8 {
		return unreadable(fmt.Sprintf("This is a JPEG with %d bits per channel, which cannot be processed; please save it "+
			"with 8 bits.", b[0]), nil)
	}
	height, width := binary.BigEndian.Uint16(b[1:]), binary.BigEndian.Uint16(b[3:])
	if err := checkSize(uint32(width), uint32(height), r.maxPixels); err != nil {
		return err
	}
	// Ask the decoder whether it supports the precision and sampling of this frame. After a JFIF segment its
	// DecodeConfig stops at the frame header.
	probe := []byte("\xff\xd8\xff\xe0\x00\x07JFIF\x00\xff")
	probe = append(probe, marker, byte((n+2)>>8), byte(n+2))
	if _, err := jpeg.DecodeConfig(bytes.NewReader(append(probe, b...))); err != nil {
		return unreadable("This kind of JPEG cannot be read; please save it as a plain one.", err)
	}
	f := &r.frame
	f.width, f.height, f.progressive = int(width), int(height), marker == markerSOF2
	for c := b[6:]; len(c) >= 3; c = c[3:] {
		f.components = append(f.components, jpegComponent{c[0], c[1] >> 4, c[1] & 0xf})
	}
	return nil
}

func (r *jpegReader) startOfScan(n int64) error {
	if r.frame.width == 0 {
		return unreadable("This JPEG is damaged.", errors.New("scan before the frame header"))
	}
	// A later scan counts even if the file ends within its header, because the decoder processes that much.
	if err := r.skip(n); err != nil && r.scans == 0 {
		return err
	}
	if r.scans++; r.scans > MaxScans {
		return unreadable(fmt.Sprintf("This JPEG has more than %d scans; please save it as a plain one.", MaxScans), nil)
	}
	return nil
}

// application reads the application segments with the orientation and the colour model.
func (r *jpegReader) application(marker byte, n int64) error {
	b, err := r.block(n, exifLimit)
	if err != nil {
		return err
	}
	// Colour segments count anywhere in the file, as in the decoder, which evaluates them last. EXIF counts only before
	// the image, like in other programs.
	f := &r.frame
	switch {
	case marker == markerAPP0 && len(b) >= 5:
		f.jfif = string(b[:5]) == "JFIF\x00"
	case marker == markerAPP1 && r.scans == 0 && r.orientation == 0 && bytes.HasPrefix(b, []byte(exifPrefix)):
		r.orientation = exifOrientation(b[len(exifPrefix):])
	case marker == markerAPP14 && len(b) >= 12 && string(b[:5]) == "Adobe":
		f.adobe, f.transform = true, b[11]
	}
	return nil
}

// rgb reports whether the decoder interprets three components as red, green and blue.
func (f *jpegFrame) rgb() bool {
	c := f.components
	return len(c) == 3 && !f.jfif &&
		(f.adobe && f.transform == 0 || c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B')
}

// cost returns the memory of stream. For a progressive photo that are mostly its coefficients, which are released while
// planes or the result grow. As far as the photo is to be turned, planes or pixels are in memory.
func (f *jpegFrame) cost() cost {
	pixels, width := int64(f.width)*int64(f.height), int64(f.width)
	samples, planes := f.samples()
	pixel := len(f.components) == 4 || f.rgb() // converted to RGB, pixel by pixel
	turned := f.orientation > 1
	const rows = 16*4 + 3*4 // of the decoder's strip, and of converted pixels
	c := cost{planar: true, image: rows * (width + 32)}
	c.decode = c.image
	switch {
	case turned && pixel:
		c.image += 4*pixels + bands(width, pixels)
		c.decode = c.image + pixels // garbage
	case turned && f.progressive:
		c.image += planes
		c.decode += 2 * planes / heldParts // the system gets pages of coefficients back with some delay
	case turned:
		longest := max(width, int64(f.height))
		c.image += min(planes, int64(partSize)+32*3*longest) + 32*longest
	default:
		c.decode += draftMemory(pixels)/heldParts + stripsMemory(f.width)
	}
	if f.progressive {
		c.decode += 2*samples + samples/8
	}
	return c
}

// samples returns the samples of all components, in whole MCUs, and the bytes of the planes of stream.
func (f *jpegFrame) samples() (samples, planes int64) {
	first := f.components[0]
	if len(f.components) == 1 {
		first.h, first.v = 1, 1 // a single component is never subsampled, even if its header has a sampling factor
	}
	mcus := units(f.width, first.h) * units(f.height, first.v)
	for _, c := range f.components {
		if len(f.components) == 1 {
			c = first
		}
		samples += mcus * int64(c.h) * int64(c.v) * 64
	}
	// In whole MCUs of the encoder. Chroma is repeated for every second column where it has a quarter of them.
	luma := int64(wholeMCUs(f.width)) * int64(wholeMCUs(f.height))
	if len(f.components) == 1 {
		return samples, luma
	}
	return samples, luma + 2*luma/int64(min(first.h, 2)*first.v)
}

// units returns how many MCUs with sampling factor s cover n pixels.
func units(n int, s byte) int64 {
	size := 8 * int64(s)
	return (int64(n) + size - 1) / size
}
