package codec

import (
	"image"
)

// decodeAVIF calls int decode(in, size, header only, all, *width, *height, *depth, *count, delay, out).
func decodeAVIF(c call, file []byte) (image.Image, error) {
	in, err := c.put(file)
	if err != nil {
		return nil, err
	}
	const results = 4
	at, err := c.alloc(4 * results)
	if err != nil {
		return nil, err
	}
	delay, err := c.alloc(8)
	if err != nil {
		return nil, err
	}
	decode := func(headerOnly uint64, out uint32) error {
		ok, err := c.do("decode", uint64(in), uint64(len(file)), headerOnly, 0, uint64(at), uint64(at+4), uint64(at+8),
			uint64(at+12), uint64(delay), uint64(out))
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
	r := image.Rect(0, 0, n[0], n[1])
	sample := 1
	if n[2] > 8 {
		sample = 2
	}
	size := 4 * sample * r.Dx() * r.Dy()
	// The function does not tell a picture that cannot be decoded from one that can, but writes only the latter, which
	// is opaque.
	out, err := c.put(make([]byte, size))
	if err != nil {
		return nil, err
	}
	if err := decode(0, out); err != nil {
		return nil, err
	}
	p, err := c.get(out, size)
	if err != nil {
		return nil, err
	}
	if size == 0 || p[size-1] == 0 {
		return nil, errDamaged
	}
	if sample == 2 {
		for i := 0; i < len(p); i += 2 {
			p[i], p[i+1] = p[i+1], p[i] // of the machine, which is little-endian, to that of package image
		}
		return &image.RGBA64{Pix: p, Stride: 8 * r.Dx(), Rect: r}, nil
	}
	return &image.RGBA{Pix: p, Stride: 4 * r.Dx(), Rect: r}, nil
}
