package sepia

import (
	"context"
	"image"
	"image/png"
	"io"

	"imagery/app/imagery"
	"imagery/app/sepia/jfif"
	"imagery/app/sepia/pngstream"
)

// Develop runs the pipeline up to the encoder and returns the pixels that it would get; for a PNG, those of the result.
func Develop(ctx context.Context, raw []byte) (image.Image, error) {
	f := Filter{}
	j, err := f.open(raw)
	if err != nil {
		return nil, err
	}
	for _, s := range pipeline {
		switch {
		case !s.fits(j):
			continue
		case s.name == "stream":
			d := new(jfif.Decoder)
			if err := openJPEG(ctx, d, j); err != nil {
				return nil, err
			}
			source, err := jpegSource(ctx, d, j)
			if err != nil {
				return nil, err
			}
			return source.tonedWhole()
		case s.name == "strips":
			if source, ok := planar(j); ok {
				return source.tonedWhole()
			}
			continue
		case s.name == "encode" && j.lossy:
			return j.imageRows().in(j.colours).toPlanes().tonedWhole()
		}
		if err := s.run(ctx, j); err != nil {
			return nil, err
		}
	}
	return png.Decode(j.out.result(false).Body)
}

// tonedWhole puts the strips together that the encoder would get.
func (s stripSource) tonedWhole() (*image.YCbCr, error) {
	whole := image.NewYCbCr(image.Rect(0, 0, wholeMCUs(s.width), wholeMCUs(s.height)), image.YCbCrSubsampleRatio420)
	var one strip
	for y := 0; y < s.height; y += 16 {
		one.prepare(s.width, min(16, s.height-y), s.ratio)
		m := &one.YCbCr
		if err := s.read(m, y); err != nil {
			return nil, err
		}
		s.filter(m, y)
		for i := range 16 {
			copy(whole.Y[(y+i)*whole.YStride:], m.Y[i*m.YStride:][:m.YStride])
		}
		for i := range 8 {
			copy(whole.Cb[(y/2+i)*whole.CStride:], m.Cb[i*m.CStride:][:whole.CStride])
			copy(whole.Cr[(y/2+i)*whole.CStride:], m.Cr[i*m.CStride:][:whole.CStride])
		}
	}
	return whole.SubImage(image.Rect(0, 0, s.width, s.height)).(*image.YCbCr), nil
}

// TurnInParts makes the parts in which photos are turned as small as given, and returns a function that restores them.
func TurnInParts(bytes int) (restore func()) {
	band, part := bandSize, partSize
	bandSize, partSize = bytes, bytes
	return func() { bandSize, partSize = band, part }
}

// ReadAhead gives use a function that returns the rows of next, one byte per pixel, which are read ahead.
func ReadAhead(width, height int, next func() ([]byte, error), use func(next func() ([]byte, error))) {
	s, stop := rowSource{width: width, height: height, layout: pngstream.Palette, next: next}.ahead()
	defer stop()
	use(s.next)
}

// ChunkSize is the size of the pieces in which a result is stored.
const ChunkSize = chunkSize

// Written returns a result that an encoder has written in these parts.
func Written(ctx context.Context, parts ...[]byte) (imagery.Result, error) {
	s := sink{ctx: ctx}
	for _, p := range parts {
		if _, err := s.Write(p); err != nil {
			return imagery.Result{}, err
		}
	}
	return s.result(false), nil
}

// Tone filters 4-byte pixels in place.
func Tone(pix []byte) { tones().apply(pix, 4) }

// ReplaceDecoder sets the decoder of a format that is not streamed, and returns a function that restores it.
func ReplaceDecoder(f Format, d func(io.Reader) (image.Image, error)) (restore func()) {
	was := decoders[f]
	decoders[f] = d
	return func() { decoders[f] = was }
}

// DecodeStrips reads a plain JPEG, one strip after the other into the same one.
func DecodeStrips(raw []byte) {
	d := decoderPool.Get().(*jfif.Decoder)
	defer decoderPool.Put(d)
	defer d.Close()
	if err := d.Open(raw); err != nil {
		panic(err)
	}
	if err := d.Load(context.Background()); err != nil {
		panic(err)
	}
	var s strip
	source := jpegStrips(context.Background(), d)
	s.prepare(d.Width, 16, source.ratio)
	for y := 0; y < d.Height; y += 16 {
		if err := source.read(&s.YCbCr, y); err != nil {
			panic(err)
		}
	}
}

// EncodeStrips encodes planes without toning them, whole strips only, one after the other.
func EncodeStrips(m *image.YCbCr) {
	w := workspaces.Get().(*workspace)
	defer w.recycle()
	one := &w.strips[0]
	one.counts = jfif.Counts{}
	source := upright(m, m.Rect.Size(), 1)
	drafts, out := drafts{sink: sink{ctx: context.Background()}}, sink{ctx: context.Background()}
	for y := 0; y+16 <= source.height; y += 16 {
		one.prepare(source.width, 16, source.ratio)
		source.read(&one.YCbCr, y)
		one.draft = encoder().Draft(one.draft[:0], &one.YCbCr, &one.counts)
		drafts.push(one.draft)
	}
	w.tables.Reset(&one.counts)
	for y := 0; y+16 <= source.height; y += 16 {
		one.draft = drafts.pull(one.draft[:0], &out.free)
		one.out = w.tables.Strip(one.out[:0], one.draft, wholeMCUs(source.width)/16, y/16, false)
		out.Write(one.out)
	}
}

// WebPRows converts the planes of a lossy WebP to 4-byte pixels.
func WebPRows(m *image.YCbCr) *image.RGBA {
	rgba := image.NewRGBA(m.Rect)
	for y := range m.Rect.Dy() {
		webpRow(rgba.Pix[y*rgba.Stride:][:rgba.Stride], m, 0, y)
	}
	return rgba
}

// WebPStrips filters the planes of a lossy WebP, as the encoder gets them.
func WebPStrips(m *image.YCbCr, orientation int) (*image.YCbCr, error) {
	return webpPlanes(m, orientation, nil).tonedWhole()
}

// DraftMemory returns the bytes that the memory plan has for the drafts of a photo.
func DraftMemory(pixels int64) int64 { return draftMemory(pixels) }

// DraftSize filters planes and returns the size of their drafts in bytes.
func DraftSize(m *image.YCbCr) int {
	toneCache.tonePlanes(m)
	return len(encoder().Draft(nil, m, new(jfif.Counts)))
}
