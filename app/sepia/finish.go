package sepia

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"

	"github.com/disintegration/imaging"
)

// orient turns the photo upright. imaging converts all types that reduce returns without loss.
func orient(_ context.Context, j *job) error {
	// The inverse of each orientation. imaging rotates counter-clockwise.
	turns := map[int]func(image.Image) *image.NRGBA{
		2: imaging.FlipH, 3: imaging.Rotate180, 4: imaging.FlipV, 5: imaging.Transpose,
		6: imaging.Rotate270, 7: imaging.Transverse, 8: imaging.Rotate90,
	}
	if turn := turns[j.photo.Orientation]; turn != nil {
		j.img = turn(j.img)
	}
	return nil
}

// toneBlock is the number of bytes that are filtered between two checks of the context, in about a millisecond.
const toneBlock = 1 << 20

// tone applies the sepia filter to the pixels in place, or to the palette of a photo with one byte per pixel.
func tone(ctx context.Context, j *job) error {
	t := tones()
	switch m := j.img.(type) {
	case *image.NRGBA:
		return toneBytes(ctx, t, m.Pix)
	case *image.RGBA: // opaque, so straight and premultiplied alpha are the same
		return toneBytes(ctx, t, m.Pix)
	case *image.Paletted:
		m.Palette = tonePalette(t, straight(m.Palette))
		return nil
	case *image.Gray:
		greys := make([]byte, 0, 4*256)
		for i := range 256 {
			greys = append(greys, byte(i), byte(i), byte(i), 255)
		}
		// With a palette of 256 filtered greys the result keeps one byte per pixel: a fifth of the time, and 15 %
		// smaller.
		j.img = &image.Paletted{Pix: m.Pix, Stride: m.Stride, Rect: m.Rect, Palette: tonePalette(t, greys)}
		return nil
	}
	// Unreachable: the decoders return no other types.
	panic(fmt.Sprintf("tone: unexpected image type %T", j.img))
}

// toneBytes filters all pixels of an image whose rows have no gaps, as from image.NewNRGBA.
func toneBytes(ctx context.Context, t *toneTables, pix []byte) error {
	for len(pix) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(len(pix), toneBlock)
		t.apply(pix[:n])
		pix = pix[n:]
	}
	return nil
}

// tonePalette filters colours that are given as 4-byte pixels, and returns them as a palette.
func tonePalette(t *toneTables, pix []byte) color.Palette {
	t.apply(pix)
	var p color.Palette
	for ; len(pix) > 0; pix = pix[4:] {
		p = append(p, color.NRGBA{R: pix[0], G: pix[1], B: pix[2], A: pix[3]})
	}
	return p
}

// encode encodes the result. For a PNG of 6 megapixels BestSpeed was measured to take 0.7 s for 7.6 MB, and the default
// level 3.0 s for 6.6 MB.
func encode(ctx context.Context, j *job) error {
	j.out.ctx = ctx
	img := j.img
	j.img = nil // the encoder may free it before the result is complete
	if j.lossy {
		return imaging.Encode(&j.out, img, imaging.JPEG, imaging.JPEGQuality(quality))
	}
	return imaging.Encode(&j.out, img, imaging.PNG, imaging.PNGCompressionLevel(png.BestSpeed))
}
