package codec

import (
	"errors"
	"image"
)

// Colour spaces of libheif (heif.h).
const spaceRGB, spaceMonochrome = 1, 2

// decodeHEIC calls int decode(in, size, header only, *width, *height, *space, *chroma, *premultiplied, out).
//
// Of YCbCr this libheif (1.18.2) makes RGB and then YCbCr again, with other chroma at the borders, unless the file says
// that its samples are RGB: they are then returned as they are, and chroma is enlarged.
func decodeHEIC(c call, file []byte) (image.Image, error) {
	in, err := c.put(file)
	if err != nil {
		return nil, err
	}
	const results = 5
	at, err := c.alloc(4 * results)
	if err != nil {
		return nil, err
	}
	decode := func(headerOnly uint64, out uint32) error {
		ok, err := c.do("decode", uint64(in), uint64(len(file)), headerOnly, uint64(at), uint64(at+4), uint64(at+8),
			uint64(at+12), uint64(at+16), uint64(out))
		if err == nil && ok == 0 {
			err = errDamaged
		}
		return err
	}
	if err := decode(1, 0); err != nil {
		return nil, err
	}
	n, err := c.numbers(at, results)
	if err != nil {
		return nil, err
	}
	r, pixel := image.Rect(0, 0, n[0], n[1]), 0
	switch n[2] {
	case spaceRGB:
		pixel = 4
	case spaceMonochrome:
		pixel = 1
	default:
		return nil, errors.New("the file does not declare its samples as RGB")
	}
	stride := rowBytes(r.Dx(), pixel)
	out, err := c.alloc(stride * r.Dy())
	if err != nil {
		return nil, err
	}
	if err := decode(0, out); err != nil {
		return nil, err
	}
	p, err := c.get(out, stride*r.Dy())
	if err != nil {
		return nil, err
	}
	if n[2] == spaceMonochrome {
		return &image.Gray{Pix: p, Stride: stride, Rect: r}, nil
	}
	return &image.RGBA{Pix: p, Stride: stride, Rect: r}, nil
}

// rowBytes returns the bytes of a row of n pixels: libheif makes room for an even number of at least 64 pixels, and
// aligns rows to 16 bytes (pixelimage.cc).
func rowBytes(n, pixel int) int { return (max(64, (n+1)&^1)*pixel + 15) &^ 15 }
