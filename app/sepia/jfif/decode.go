package jfif

import (
	"context"
	"errors"
	"fmt"
	"image"
)

// ErrInvalid is returned for a file that is damaged, cut short, or of a kind that image/jpeg does not decode either.
var ErrInvalid = errors.New("invalid JPEG")

// errCarried is returned for a sequential file in which a run of skipped blocks goes on in the next scan, which T.81
// does not allow, but image/jpeg does. All scans are read row by row at once, before the end of any is known.
var errCarried = fmt.Errorf("%w: skipped blocks go on in the next scan", ErrInvalid)

// Decoder decodes one file at a time: Open, Load, and then Strip until the last row. The zero value is ready for Open.
// It may be reused for other files.
type Decoder struct {
	Width, Height int // in pixels
	Model         Model
	Progressive   bool
	Repeated      bool                      // planes are in several scans of a file that is not progressive
	Ratio         image.YCbCrSubsampleRatio // 444, 440, 422, 420, 411 or 410; 420 for grey
	StripHeight   int                       // rows of pixels per strip: 8 or 16
	Damage        Damage                    // found so far: all of it after the last strip

	header       header
	planes       [4]component
	comps        []component // one per plane of the file
	across, down int         // MCUs of the picture
	scans        []scan
	tables       []*huffman // those of scans, and before them others that can be reused
	inUse        int        // of tables
	row          int        // of MCUs: the next one
	rough        int        // blocks so far that only exact can transform, or that do not fit 16 bits
	unused       [64]byte   // takes the samples of blocks beyond the planes of the caller

	stored [4]plane // of a progressive file
	eobRun uint32   // blocks that are still to be skipped, from scan to scan
}

// component is one plane of the file.
type component struct {
	id, quant uint8
	h, v      int // blocks in an MCU
}

// Open reads the structure of a file: everything but its pixels. It needs little memory, whatever the file declares.
// data must not change until the last strip is read.
func (d *Decoder) Open(data []byte) error {
	d.Close()
	if err := d.structure(data); err != nil {
		return err
	}
	d.Model = d.model()
	parts := 0
	for i := range d.scans {
		parts += d.scans[i].n
	}
	d.Repeated = !d.Progressive && parts > len(d.comps)
	return nil
}

// Close drops the references to the file and to its coefficients. The decoder may be used for another one.
func (d *Decoder) Close() {
	d.header, d.stored, d.row, d.eobRun, d.inUse, d.rough = header{}, [4]plane{}, 0, 0, 0, 0
	d.Damage = Intact
	for i := range d.tables {
		d.tables[i].symbols = nil
	}
	if len(d.scans) > pooledScans {
		d.scans, d.tables = nil, nil
	}
	for i := range d.scans {
		d.scans[i].bits.data = nil
	}
	d.scans = d.scans[:0]
}

// pooledScans is the number of scans whose tables are kept for the next file.
const pooledScans = 12

// Strip reads the next strip into the planes of m, whose first samples are those of the strip, and into black, which
// has the stride of luma, if the file has a fourth plane. The planes must have whole blocks and at least the samples of
// the picture. After the last strip it also checks the end of the picture. A grey picture leaves the chroma alone. It
// returns the error of ctx once that has ended.
func (d *Decoder) Strip(ctx context.Context, m *image.YCbCr, black []uint8) error {
	dst := [4][]uint8{m.Y, m.Cb, m.Cr, black}
	strides := [4]int{m.YStride, m.CStride, m.CStride, m.YStride}
	if d.Progressive {
		for i := range d.comps {
			d.transformRow(i, dst[i], strides[i])
		}
		d.row++
		return nil
	}
	seen := [4]bool{}
	for i := range d.scans {
		s := &d.scans[i]
		for i := range s.n {
			seen[s.array[i].plane] = true
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		s.readRow(d, &dst, &strides)
		if err := s.enough(d); err != nil {
			return err
		}
		if d.row < d.down-1 {
			continue
		}
		if !s.lost && !s.ended() {
			d.suffer(Broken)
		}
		if s.eobRun > 0 && i < len(d.scans)-1 {
			return errCarried
		}
	}
	for i := range d.comps {
		if !seen[i] {
			clear(dst[i][:8*d.comps[i].v*strides[i]]) // as in image/jpeg
		}
	}
	d.row++
	return nil
}
