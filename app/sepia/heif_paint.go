package sepia

import (
	"fmt"
	"image"

	"imagery/app/sepia/heif"
)

// pixelPainter paints opaque pixels.
type pixelPainter struct {
	canvas  *image.NRGBA // the visible part of the plane
	samples *yCbCrMatrix // what makes RGB of the samples of a HEIC; nil if the tiles are in RGB
}

func newPainter(canvas *image.NRGBA, m *heif.Image) pixelPainter {
	p := pixelPainter{canvas: canvas}
	const rgb = 0
	if v := m.Plane.CICP; m.Format == heif.HEIC && (v == nil || v.Matrix != rgb) {
		p.samples = newYCbCrMatrix(v)
	}
	return p
}

func (p pixelPainter) tile(img image.Image, at image.Point) error {
	part := img.Bounds().Add(at).Intersect(p.canvas.Rect)
	for y := part.Min.Y; y < part.Max.Y; y++ {
		dst := p.canvas.Pix[p.canvas.PixOffset(part.Min.X, y):][:4*part.Dx()]
		x0, y0 := part.Min.X-at.X, y-at.Y
		switch m := img.(type) {
		case *image.RGBA:
			copy(dst, m.Pix[m.PixOffset(x0, y0):])
		case *image.RGBA64:
			src := m.Pix[m.PixOffset(x0, y0):]
			for i := range dst {
				dst[i] = byte((uint32(src[2*i])<<8 | uint32(src[2*i+1]) + 128) / 257)
			}
		case *image.Gray:
			const grey = 128
			src := m.Pix[m.PixOffset(x0, y0):]
			for i := range part.Dx() {
				dst[4*i], dst[4*i+1], dst[4*i+2], dst[4*i+3] = grey, src[i], grey, 255
			}
		default:
			return fmt.Errorf("a picture of type %T", img)
		}
		if p.samples != nil {
			p.samples.convert(dst)
		}
	}
	return nil
}

// alphaPainter writes the luma of a plane into the alpha of the canvas.
type alphaPainter struct {
	canvas     *image.NRGBA
	videoRange bool // of the samples, which are those of a HEIC
}

func newAlphaPainter(canvas *image.NRGBA, m *heif.Image) alphaPainter {
	v := m.Alpha.CICP
	return alphaPainter{canvas, m.Format == heif.HEIC && v != nil && !v.FullRange}
}

func (p alphaPainter) tile(img image.Image, at image.Point) error {
	part := img.Bounds().Add(at).Intersect(p.canvas.Rect)
	for y := part.Min.Y; y < part.Max.Y; y++ {
		dst := p.canvas.Pix[p.canvas.PixOffset(part.Min.X, y):][:4*part.Dx()]
		x0, y0 := part.Min.X-at.X, y-at.Y
		var src []byte
		step := 1
		switch m := img.(type) {
		case *image.Gray:
			src = m.Pix[m.PixOffset(x0, y0):]
		case *image.RGBA: // green is the luma of a HEIC, too
			src, step = m.Pix[m.PixOffset(x0, y0)+1:], 4
		case *image.RGBA64:
			src, step = m.Pix[m.PixOffset(x0, y0):], 8
		default:
			return fmt.Errorf("transparency of type %T", img)
		}
		for i := range part.Dx() {
			dst[4*i+3] = src[step*i]
			if p.videoRange {
				dst[4*i+3] = uint8(min(max((int(src[i])-16)*255/219, 0), 255))
			}
		}
	}
	return nil
}

// yCbCrMatrix converts to RGB, with 16 fractional bits.
type yCbCrMatrix struct {
	black, luma                     int32
	redCr, greenCb, greenCr, blueCb int32
}

// newYCbCrMatrix returns the matrix of code points of ITU-T H.273. Without them it is that of BT.601 in full range, as
// libheif assumes.
func newYCbCrMatrix(c *heif.CICP) *yCbCrMatrix {
	kr, kb, full := 0.299, 0.114, true
	if c != nil {
		full = c.FullRange
		switch c.Matrix {
		case 1:
			kr, kb = 0.2126, 0.0722
		case 4:
			kr, kb = 0.30, 0.11
		case 7:
			kr, kb = 0.212, 0.087
		case 9, 10:
			kr, kb = 0.2627, 0.0593
		}
	}
	const one = 1 << 16
	m, luma, chroma := &yCbCrMatrix{}, 1.0, 1.0
	if !full {
		m.black, luma, chroma = 16, 255.0/219, 255.0/224
	}
	fixed := func(v float64) int32 { return int32(v*one + 0.5) }
	m.luma = fixed(luma)
	m.redCr, m.blueCb = fixed(2*(1-kr)*chroma), fixed(2*(1-kb)*chroma)
	kg := 1 - kr - kb
	m.greenCb, m.greenCr = fixed(2*kb*(1-kb)/kg*chroma), fixed(2*kr*(1-kr)/kg*chroma)
	return m
}

// convert makes RGB of 4-byte pixels with Cr, Y and Cb.
func (m *yCbCrMatrix) convert(pix []byte) {
	const half = 1 << 15
	clip := func(v int32) uint8 { return uint8(min(max(v>>16, 0), 255)) }
	for ; len(pix) >= 4; pix = pix[4:] {
		r, l, b := int32(pix[0])-128, (int32(pix[1])-m.black)*m.luma+half, int32(pix[2])-128
		pix[0], pix[1], pix[2] = clip(l+r*m.redCr), clip(l-b*m.greenCb-r*m.greenCr), clip(l+b*m.blueCb)
	}
}
