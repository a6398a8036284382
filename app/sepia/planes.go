package sepia

import (
	"context"
	"errors"
	"image"
	"sync"

	"imagery/app/sepia/baseline"
)

var decoderPool = sync.Pool{New: func() any { return new(baseline.Decoder) }}

// stream develops a plain JPEG that is upright without ever holding more of it than a few strips. Any other plain one
// it decodes. It leaves everything else alone, and what turns out to be unusual on the way: the decoder of the
// standard library then begins anew, and decides whether the photo is damaged.
func stream(ctx context.Context, j *job) error {
	d := decoderPool.Get().(*baseline.Decoder)
	defer decoderPool.Put(d)
	source, ok := plain(d, j)
	switch {
	case !ok:
		return nil
	case j.photo.Orientation > 1:
		j.img = readPlanes(ctx, source)
		return ctx.Err()
	}
	err := source.develop(ctx, &j.out)
	if errors.Is(err, baseline.ErrUnusual) {
		j.out.drop()
		return nil
	}
	j.lossy, j.streamed, j.raw = true, true, nil
	return err
}

// plain opens a JPEG that d may read and that can be developed in strips.
func plain(d *baseline.Decoder, j *job) (stripSource, bool) {
	p := j.photo
	if p.Format != JPEG || j.filter.decoders != nil || d.Open(j.raw) != nil || d.Width != p.Width || d.Height != p.Height {
		return stripSource{}, false
	}
	read := func(m *image.YCbCr, y int) error { return readStrip(d, m, y) }
	return stripSource{d.Width, d.Height, d.Ratio, read}, turnable(d.Ratio, d.Width, d.Height, p.Orientation)
}

// readStrip fills a strip with as many of the decoder's.
func readStrip(d *baseline.Decoder, m *image.YCbCr, y int) error {
	height := min(m.Rect.Dy(), d.Height-y)
	for y := 0; y < height; y += d.StripHeight {
		rows := from(m, y)
		if err := d.Strip(&rows); err != nil {
			return err
		}
	}
	if d.Grey {
		fill(m.Cb, 128)
		fill(m.Cr, 128)
	}
	pad(m, d.Width, height)
	return nil
}

// from returns the planes from row y on.
func from(m *image.YCbCr, y int) image.YCbCr {
	s, c := *m, m.COffset(0, y)
	s.Y, s.Cb, s.Cr = m.Y[y*m.YStride:], m.Cb[c:], m.Cr[c:]
	return s
}

func fill(plane []uint8, v uint8) {
	for i := range plane {
		plane[i] = v
	}
}

// readPlanes reads a whole photo; nil if it turns out to be unusual, or ctx has ended.
func readPlanes(ctx context.Context, s stripSource) image.Image {
	m := image.NewYCbCr(image.Rect(0, 0, wholeMCUs(s.width), wholeMCUs(s.height)), s.ratio)
	for y := 0; y < s.height; y += 16 {
		rows := from(m, y)
		rows.Rect.Max.Y = 16
		if ctx.Err() != nil || s.read(&rows, y) != nil {
			return nil
		}
	}
	return m.SubImage(image.Rect(0, 0, s.width, s.height))
}

// pad repeats the last column and the last row of the photo up to whole MCUs, as it compresses best.
func pad(m *image.YCbCr, width, height int) {
	h, v := sampling(m.SubsampleRatio)
	padPlane(m.Y, m.YStride, width, height)
	padPlane(m.Cb, m.CStride, (width+h-1)/h, (height+v-1)/v)
	padPlane(m.Cr, m.CStride, (width+h-1)/h, (height+v-1)/v)
}

func padPlane(p []uint8, stride, width, height int) {
	for y := 0; y < height && width < stride; y++ {
		row := p[y*stride:][:stride]
		fill(row[width:], row[width-1])
	}
	for y := height; y*stride < len(p); y++ {
		copy(p[y*stride:], p[(y-1)*stride:][:stride])
	}
}

// sampling is how many pixels share a chroma sample, across and down; 0 for ratios that the strips do not know.
func sampling(r image.YCbCrSubsampleRatio) (h, v int) {
	switch r {
	case image.YCbCrSubsampleRatio444:
		return 1, 1
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	}
	return 0, 0
}

// turnable reports whether planes can be turned as they are. Chroma samples of an odd side that is mirrored would come
// to lie between those of luma.
func turnable(r image.YCbCrSubsampleRatio, width, height, orientation int) bool {
	h, v := sampling(r)
	mirrored := orientation != 1 && orientation != 5
	return h > 0 && (!mirrored || width%h == 0 && height%v == 0)
}

// strips develops a photo in planes that becomes a JPEG. It leaves the others alone.
func strips(ctx context.Context, j *job) error {
	source, ok := planar(j)
	if !ok {
		return nil
	}
	err := source.develop(ctx, &j.out)
	j.img = nil // join needs the room
	return err
}

// planar returns the picture as a source of strips, if it can be one.
func planar(j *job) (stripSource, bool) {
	var m *image.YCbCr
	switch p := j.img.(type) {
	case *image.YCbCr:
		m = p
	case *image.Gray:
		m = &image.YCbCr{Y: p.Pix, YStride: p.Stride, Rect: p.Rect, SubsampleRatio: image.YCbCrSubsampleRatio444}
	}
	if !j.lossy || m == nil || !turnable(m.SubsampleRatio, m.Rect.Dx(), m.Rect.Dy(), j.photo.Orientation) {
		return stripSource{}, false
	}
	return upright(m, j.photo.Orientation), true
}

// upright is a source of planes that are turned on the way. Without chroma they are grey.
func upright(m *image.YCbCr, orientation int) stripSource {
	h, v := sampling(m.SubsampleRatio)
	width, height := m.Rect.Dx(), m.Rect.Dy()
	luma := turned(m.Y, m.YStride, width, height, orientation)
	cw, ch := (width+h-1)/h, (height+v-1)/v
	s := stripSource{luma.width, luma.height, m.SubsampleRatio, nil}
	if orientation >= 5 {
		h, v = v, h
		s.ratio = map[[2]int]image.YCbCrSubsampleRatio{{1, 1}: image.YCbCrSubsampleRatio444, {2, 2}: image.YCbCrSubsampleRatio420,
			{1, 2}: image.YCbCrSubsampleRatio440, {2, 1}: image.YCbCrSubsampleRatio422}[[2]int{h, v}]
	}
	grey := len(m.Cb) == 0
	var cb, cr turnedPlane
	if grey {
		s.ratio = image.YCbCrSubsampleRatio420
	} else {
		cb, cr = turned(m.Cb, m.CStride, cw, ch, orientation), turned(m.Cr, m.CStride, cw, ch, orientation)
	}
	s.read = func(strip *image.YCbCr, y int) error {
		rows := min(strip.Rect.Dy(), s.height-y)
		luma.copy(strip.Y, strip.YStride, y, rows)
		if grey {
			fill(strip.Cb, 128)
			fill(strip.Cr, 128)
		} else {
			cb.copy(strip.Cb, strip.CStride, y/v, (rows+v-1)/v)
			cr.copy(strip.Cr, strip.CStride, y/v, (rows+v-1)/v)
		}
		pad(strip, s.width, rows)
		return nil
	}
	return s
}

// turnedPlane is a plane as it looks upright: the sample at x, y is at[origin + x*right + y*down].
type turnedPlane struct {
	at                  []uint8
	origin, right, down int
	width, height       int
}

// turned says where the EXIF standard finds the samples of a plane.
func turned(p []uint8, stride, width, height, orientation int) turnedPlane {
	t := turnedPlane{p, 0, 1, stride, width, height}
	if orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8 {
		t.origin, t.right = width-1, -1
	}
	if orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7 {
		t.origin, t.down = t.origin+(height-1)*stride, -stride
	}
	if orientation >= 5 {
		t.right, t.down, t.width, t.height = t.down, t.right, height, width
	}
	return t
}

// copy writes n rows from row y on.
func (t turnedPlane) copy(dst []uint8, stride, y, n int) {
	if t.right == 1 {
		for i := range n {
			copy(dst[i*stride:], t.at[t.origin+(y+i)*t.down:][:t.width])
		}
		return
	}
	// Column by column, which are the rows of the plane when it is turned by a quarter.
	for x := range t.width {
		at := t.origin + x*t.right + y*t.down
		for i := range n {
			dst[i*stride+x] = t.at[at]
			at += t.down
		}
	}
}
