package sepia

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image/jpeg"
)

// The JPEG markers that Go's decoder knows; every other one ends its work with an error.
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
	markerAPP14 = 0xee
	markerAPP15 = 0xef
	markerCOM   = 0xfe
)

// jpegFrame is what decides about the memory that decoding takes.
type jpegFrame struct {
	width, height int
	progressive   bool
	components    []jpegComponent
	jfif          bool
	adobe         bool
	transform     byte // of the Adobe segment; 0 means RGB or CMYK as it is
}

type jpegComponent struct{ id, h, v byte }

// jpegReader is the state of walking through a JPEG.
type jpegReader struct {
	*source
	maxPixels   int64
	frame       jpegFrame
	orientation int
	scans       int
}

// readJPEG walks through the markers up to the end of the image. The header is complete at the first scan; from
// there on only scans are counted, and what is wrong with the rest is for the decoder to say.
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
	// The decoder would find this out only after it has decoded everything.
	if len(f.components) == 4 && !f.adobe {
		return Photo{}, unreadable("This JPEG has four colour channels and does not say which; please save it as RGB.", nil)
	}
	at := func(width, height int) cost {
		scaled := *f
		scaled.width, scaled.height = width, height
		return scaled.cost()
	}
	p := Photo{Width: f.width, Height: f.height, Orientation: r.orientation, cost: f.cost(), at: at}
	if f.progressive {
		p.passes = r.scans
	}
	return p, nil
}

// segment reads up to the next marker and the segment behind it. It reports whether more may follow.
func (r *jpegReader) segment() (more bool, err error) {
	marker, err := r.marker()
	switch {
	case err != nil:
		return false, err
	case marker == markerEOI && r.scans > 0:
		return false, nil // whatever follows, thumbnails or videos of phones, the decoder does not read either
	case markerRST0 <= marker && marker <= markerRST7:
		return true, nil
	case !knownMarker(marker):
		return false, unreadable("This kind of JPEG cannot be read; please save it as a plain one.",
			fmt.Errorf("marker %#x", marker))
	}
	b, err := r.next(2)
	if err != nil {
		return false, err
	}
	n := int64(binary.BigEndian.Uint16(b)) - 2
	if n < 0 {
		return false, unreadable("This JPEG is damaged.", fmt.Errorf("segment %#x without length", marker))
	}
	switch marker {
	case markerSOF0, markerSOF0 + 1, markerSOF2:
		return true, r.startOfFrame(marker, n)
	case markerSOS:
		return true, r.startOfScan(n)
	case markerAPP0, markerAPP1, markerAPP14:
		return true, r.application(marker, n)
	}
	return true, r.skip(n)
}

func knownMarker(m byte) bool {
	switch m {
	case markerSOF0, markerSOF0 + 1, markerSOF2, markerDHT, markerSOS, markerDQT, markerDRI, markerCOM:
		return true
	}
	return markerAPP0 <= m && m <= markerAPP15
}

// marker passes over whatever is not a marker (the data of a scan, stuffed zeros, fill bytes) and returns the next.
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
	// One to four components, 3 bytes each, behind precision, size and their number.
	if n < 6 || n > 6+3*4 {
		return unreadable("This kind of JPEG cannot be read; please save it as a plain one.",
			fmt.Errorf("frame header of %d bytes", n))
	}
	b, err := r.next(int(n))
	if err != nil {
		return err
	}
	height, width := binary.BigEndian.Uint16(b[1:]), binary.BigEndian.Uint16(b[3:])
	if err := checkSize(uint32(width), uint32(height), r.maxPixels); err != nil {
		return err
	}
	// The decoder itself says whether it takes this frame (precision, sampling): with a JFIF segment in front its
	// DecodeConfig ends at the frame header.
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
	// A later scan counts even if the file ends within its header: the decoder gets as far.
	if err := r.skip(n); err != nil && r.scans == 0 {
		return err
	}
	if r.scans++; r.scans > MaxScans {
		return unreadable(fmt.Sprintf("This JPEG has more than %d scans; please save it as a plain one.", MaxScans), nil)
	}
	return nil
}

// application reads the segments that change how the picture is shown: where up is, and which colours it has.
func (r *jpegReader) application(marker byte, n int64) error {
	b, err := r.block(n, exifLimit)
	if err != nil {
		return err
	}
	// Colour segments count wherever they stand, as they do for the decoder, which looks at them last. EXIF counts
	// only in front of the picture, where every reader looks for it.
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

// rgb reports whether the decoder takes three components for red, green and blue.
func (f *jpegFrame) rgb() bool {
	c := f.components
	return len(c) == 3 && !f.jfif &&
		(f.adobe && f.transform == 0 || c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B')
}

// cost counts what image/jpeg allocates. It decodes into planes that are padded to whole units of 8x8 blocks times
// the sampling; a progressive photo also keeps each sample as a 4-byte coefficient until all scans are read; RGB and
// CMYK are then put together in a copy of 4 bytes a pixel.
func (f *jpegFrame) cost() cost {
	pixels := int64(f.width) * int64(f.height)
	first := f.components[0]
	if len(f.components) == 1 {
		first.h, first.v = 1, 1 // a single component is never subsampled, whatever its header says
	}
	unitsX, unitsY := units(f.width, first.h), units(f.height, first.v)
	var samples int64
	for _, c := range f.components {
		if len(f.components) == 1 {
			c = first
		}
		samples += unitsX * unitsY * int64(c.h) * int64(c.v) * 64
	}
	c := cost{decode: samples, image: samples, result: jpegResult}
	if f.progressive {
		c.decode += 4 * samples
	}
	if len(f.components) == 4 || f.rgb() {
		c.decode += 4 * pixels
		c.image = 4 * pixels
		return c
	}
	c.planar = true
	return c
}

// units is how many coding units of sampling factor s cover n pixels.
func units(n int, s byte) int64 {
	size := 8 * int64(s)
	return (int64(n) + size - 1) / size
}
