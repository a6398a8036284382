package sepia

import (
	"context"
	"image"
	"io"
)

// Develop runs the pipeline up to the encoder and returns the pixels that it would get.
func Develop(ctx context.Context, raw []byte) (image.Image, error) {
	f := Filter{}
	j, err := f.open(raw)
	if err != nil {
		return nil, err
	}
	for _, s := range pipeline {
		if s.name == "encode" {
			break
		}
		if err := s.run(ctx, j); err != nil {
			return nil, err
		}
	}
	return j.img, nil
}

// Tone filters 4-byte pixels in place.
func Tone(pix []byte) { tones().apply(pix) }

// WithDecoder returns the filter with another decoder for every format.
func (f Filter) WithDecoder(d func(io.Reader) (image.Image, error)) Filter {
	f.decoders = map[Format]func(io.Reader) (image.Image, error){JPEG: d, PNG: d, GIF: d, WebP: d}
	return f
}
