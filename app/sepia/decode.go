package sepia

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/webp"
)

// decoders decode a photo of each format. image.Decode is not used: it would also try whatever format any imported
// package registered.
var decoders = map[Format]func(io.Reader) (image.Image, error){
	JPEG: jpeg.Decode, PNG: png.Decode, GIF: gif.Decode, WebP: webp.Decode,
}

// decode reads the pixels, within the filter's DecodeTimeout.
func decode(ctx context.Context, j *job) error {
	timeout := j.filter.DecodeTimeout
	if timeout == 0 {
		timeout = DecodeTimeout
	}
	table := j.filter.decoders
	if table == nil {
		table = decoders
	}
	deadline, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// A decoder gets nothing but this reader: when it fails, the decoder ends. It cannot be stopped otherwise.
	var r io.Reader = bytes.NewReader(j.raw)
	if j.photo.Format == WebP {
		r = j.photo.webp.open(j.raw)
	}
	img, err := table[j.photo.Format](contextReader{deadline, r})
	switch {
	case err != nil && deadline.Err() != nil: // or ctx has ended, which Apply looks at first
		return unreadable("It takes too long to decode.", fmt.Errorf("not decoded after %v", timeout))
	case err != nil:
		return unreadable(fmt.Sprintf("This %s is damaged or cut short.", j.photo.Format.name()), err)
	}
	if !j.photo.fits(img.Bounds()) {
		return unreadable(fmt.Sprintf("This %s is damaged.", j.photo.Format.name()),
			errors.New("the decoder found another size than the header has"))
	}
	if m := ycbcrOf(img); m != nil && j.photo.Format == WebP {
		widenRange(m)
	}
	j.img, j.raw = img, nil // the caller may let go of the file now
	return nil
}

// name is the format as people write it.
func (f Format) name() string {
	return map[Format]string{JPEG: "JPEG", PNG: "PNG", GIF: "GIF", WebP: "WebP"}[f]
}

// fits reports whether the decoder saw the size that memory was admitted for. A GIF frame may be smaller.
func (p Photo) fits(decoded image.Rectangle) bool {
	screen := image.Rect(0, 0, p.Width, p.Height)
	return decoded == screen || p.Format == GIF && decoded.In(screen)
}

// contextReader fails once ctx has ended; a decoder notices at its next few kilobytes.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

func ycbcrOf(img image.Image) *image.YCbCr {
	switch m := img.(type) {
	case *image.YCbCr:
		return m
	case *image.NYCbCrA: // imaging would premultiply it, and lose the colours under alpha 0
		return &m.YCbCr
	}
	return nil
}

// widenRange stretches the planes of a lossy WebP, luma 16..235 and chroma 16..240 as in video, to the full range that
// image.YCbCr and JPEG have. Without it, black comes out as dark grey: x/image/webp does not do it (Go issue 40173).
func widenRange(m *image.YCbCr) {
	var luma, chroma [256]uint8
	for i := range 256 {
		luma[i] = uint8(clampRound((float64(i) - 16) * 255 / 219))
		chroma[i] = uint8(clampRound((float64(i)-128)*255/224 + 128))
	}
	for i, v := range m.Y {
		m.Y[i] = luma[v]
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = chroma[m.Cb[i]], chroma[m.Cr[i]]
	}
}

// reduce leaves 8 bits a sample, straight alpha and the whole canvas: what the next steps can take. It works in
// place where the result is not larger. A 16 bit sample is cut to its high byte, alpha or not.
func reduce(_ context.Context, j *job) error {
	switch m := j.img.(type) {
	case *image.NRGBA64:
		j.img = &image.NRGBA{Pix: highBytes(m.Pix), Stride: m.Stride / 2, Rect: m.Rect}
	case *image.RGBA64: // opaque: png.Decode has NRGBA64 for the others
		j.img = &image.RGBA{Pix: highBytes(m.Pix), Stride: m.Stride / 2, Rect: m.Rect}
	case *image.Gray16:
		j.img = &image.Gray{Pix: highBytes(m.Pix), Stride: m.Stride / 2, Rect: m.Rect}
	case *image.CMYK: // 4 bytes a pixel as well; draw.Draw and imaging use the same conversion
		for p := m.Pix; len(p) >= 4; p = p[4:] {
			p[0], p[1], p[2] = color.CMYKToRGB(p[0], p[1], p[2], p[3])
			p[3] = 255
		}
		j.img = &image.RGBA{Pix: m.Pix, Stride: m.Stride, Rect: m.Rect}
	case *image.NYCbCrA:
		canvas := image.NewNRGBA(m.Rect)
		for y := range m.Rect.Dy() {
			row := canvas.Pix[y*canvas.Stride:][:canvas.Stride]
			upsample(row, &m.YCbCr, y)
			for x, a := range m.A[y*m.AStride:][:m.Rect.Dx()] {
				row[4*x+3] = a
			}
		}
		j.img = canvas
	case *image.Paletted:
		if screen := image.Rect(0, 0, j.photo.Width, j.photo.Height); m.Rect != screen {
			j.img = onScreen(m, screen)
		}
	}
	// A WebP with an alpha channel that hides nothing is opaque: a JPEG of it is a tenth of the PNG.
	opaque, ok := j.img.(interface{ Opaque() bool })
	j.lossy = j.photo.Format == JPEG || j.photo.Format == WebP && ok && opaque.Opaque()
	return nil
}

// highBytes cuts big-endian 16 bit samples to 8 bits, in place.
func highBytes(pix []byte) []byte {
	n := len(pix) / 2
	for i := range n {
		pix[i] = pix[2*i]
	}
	return pix[:n]
}

// onScreen places a GIF frame on its logical screen, which is transparent where the frame is not.
func onScreen(m *image.Paletted, screen image.Rectangle) *image.NRGBA {
	colours := straight(m.Palette)
	canvas := image.NewNRGBA(screen)
	for y := m.Rect.Min.Y; y < m.Rect.Max.Y; y++ {
		row := canvas.Pix[canvas.PixOffset(m.Rect.Min.X, y):]
		for x, i := range m.Pix[m.PixOffset(m.Rect.Min.X, y):][:m.Rect.Dx()] {
			copy(row[4*x:4*x+4], colours[4*int(i):])
		}
	}
	return canvas
}

// straight returns a palette as 4-byte pixels with straight alpha. Decoders make it of NRGBA and opaque colours,
// so nothing is lost.
func straight(p color.Palette) []byte {
	pix := make([]byte, 0, 4*len(p))
	for _, c := range p {
		n := color.NRGBAModel.Convert(c).(color.NRGBA)
		pix = append(pix, n.R, n.G, n.B, n.A)
	}
	return pix
}

// upsample writes row y of m as opaque 4-byte pixels, repeating chroma samples as draw.Draw does.
func upsample(dst []byte, m *image.YCbCr, y int) {
	var shift int
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420:
		shift = 1
	case image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410:
		shift = 2
	}
	// Chroma shifts along the row; COffset knows which chroma row is meant.
	c := m.COffset(m.Rect.Min.X, m.Rect.Min.Y+y)
	cb, cr := m.Cb[c:], m.Cr[c:]
	for x, l := range m.Y[y*m.YStride:][:m.Rect.Dx()] {
		p := dst[4*x : 4*x+4 : 4*x+4]
		p[0], p[1], p[2] = color.YCbCrToRGB(l, cb[x>>shift], cr[x>>shift])
		p[3] = 255
	}
}
