package sepia

import (
	"bytes"
	"context"
	"image/color"

	"imagery/app/sepia/pngstream"
)

// streamPNG processes a PNG completely. Unless it is interlaced or not upright, only a few rows are in memory.
func streamPNG(ctx context.Context, j *job) error {
	damaged := func(err error) error { return unreadable("This PNG is damaged or cut short.", err) }
	r, err := pngstream.NewReader(contextReader{ctx, bytes.NewReader(j.raw)})
	if err != nil {
		return damaged(err)
	}
	deep := j.colours != nil && r.Convert16(j.colours.Convert16, j.colours.Channels())
	source := rowSource{width: r.Width(), height: r.Height(), layout: r.Layout(), palette: r.Palette(),
		held: j.photo.held}
	source.next = func() ([]byte, error) {
		row, err := r.Row()
		if err != nil {
			return nil, damaged(err)
		}
		return row, nil
	}
	if !deep {
		source = source.in(j.colours)
	}
	if j.photo.Orientation > 1 {
		if source, err = source.turned(j.photo.Orientation); err != nil {
			return err
		}
	}
	j.streamed, j.raw = !j.photo.held, nil
	if err := source.toPNG(ctx, &j.out); err != nil {
		return err
	}
	j.warning = mendedPNG[r.Mended()]
	return nil
}

// mendedPNG has the warning for each fault that the reader of a PNG passes over.
var mendedPNG = map[error]string{
	pngstream.ErrNoEnd:        "The end of this PNG is missing, but all of its pixels are there.",
	pngstream.ErrTail:         "This PNG is damaged behind its pixels, which are all there.",
	pngstream.ErrTransparency: "The transparency of this PNG is damaged and was left out.",
}

// encode turns a decoded image upright, filters it and encodes it.
func encode(ctx context.Context, j *job) error {
	source := j.imageRows().in(j.colours)
	if j.lossy {
		return source.toPlanes().toJPEG(ctx, &j.out)
	}
	return source.toPNG(ctx, &j.out)
}

// straight returns a palette as 4-byte pixels with straight alpha. Palettes of the decoders have only NRGBA and opaque
// colours, so the conversion is exact.
func straight(p color.Palette) []byte {
	pix := make([]byte, 0, 4*len(p))
	for _, c := range p {
		n := color.NRGBAModel.Convert(c).(color.NRGBA)
		pix = append(pix, n.R, n.G, n.B, n.A)
	}
	return pix
}
