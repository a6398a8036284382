package sepia

import (
	"context"
	"image"
	"slices"
)

// from returns m without the rows above y.
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

// pad repeats the last column and row of the photo up to whole MCUs, which compresses best.
func pad(m *image.YCbCr, width, height int) {
	h, v := sampling(m.SubsampleRatio)
	rows := m.Rect.Dy()
	padPlane(m.Y, m.YStride, width, height, rows)
	padPlane(m.Cb, m.CStride, (width+h-1)/h, (height+v-1)/v, rows/v)
	padPlane(m.Cr, m.CStride, (width+h-1)/h, (height+v-1)/v, rows/v)
}

func padPlane(p []uint8, stride, width, height, rows int) {
	for y := 0; y < height && width < stride; y++ {
		row := p[y*stride:][:stride]
		fill(row[width:], row[width-1])
	}
	for y := height; y < rows; y++ {
		copy(p[y*stride:], p[(y-1)*stride:][:stride])
	}
}

// sampling returns how many pixels share a chroma sample, horizontally and vertically.
func sampling(r image.YCbCrSubsampleRatio) (h, v int) {
	switch r {
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 1, 1
}

// strips processes a WebP that has planes and thus becomes a JPEG. It does nothing for other photos.
func strips(ctx context.Context, j *job) error {
	source, ok := planar(j)
	if !ok {
		return nil
	}
	err := source.toJPEG(ctx, &j.out)
	j.img = nil // join needs the memory
	return err
}

// planar returns the decoded image as a source of strips, or false if it has no planes.
func planar(j *job) (stripSource, bool) {
	m, ok := j.img.(*image.YCbCr)
	if !ok {
		return stripSource{}, false
	}
	return webpPlanes(m, j.photo.Orientation, j.colours), true
}

// upright returns a source that reads the planes of a photo of that size in upright orientation. m is the photo, or the
// part of it that is read; its Rect may change in between. Its sampling is narrow. Without chroma planes the photo is
// grey.
func upright(m *image.YCbCr, size image.Point, orientation int) stripSource {
	h, v := sampling(m.SubsampleRatio)
	width, height := size.X, size.Y
	luma := turned(m.Y, m.YStride, width, height, 1, 1, orientation)
	s := stripSource{width: len(luma.across), height: len(luma.down), ratio: m.SubsampleRatio}
	var cb, cr turnedPlane
	// Use a chroma sample for each pixel if a mirrored side is odd, so that chroma samples would be shifted against luma.
	if mirrored := orientation != 1 && orientation != 5; mirrored && (width%h != 0 || height%v != 0) {
		s.ratio = image.YCbCrSubsampleRatio444
		cb = turned(m.Cb, m.CStride, width, height, h, v, orientation)
	} else {
		cb = turned(m.Cb, m.CStride, (width+h-1)/h, (height+v-1)/v, 1, 1, orientation)
		if orientation >= 5 {
			s.ratio = transposed(s.ratio)
		}
	}
	cr = cb
	cr.samples = m.Cr
	_, down := sampling(s.ratio)
	s.read = func(strip *image.YCbCr, y int) error {
		rows := min(strip.Rect.Dy(), s.height-y)
		at := m.Rect.Min
		luma.copy(strip.Y, strip.YStride, y, rows, at.Y*m.YStride+at.X)
		if len(m.Cb) == 0 {
			fill(strip.Cb, 128)
			fill(strip.Cr, 128)
		} else {
			skipped := at.Y/v*m.CStride + at.X/h
			cb.copy(strip.Cb, strip.CStride, y/down, (rows+down-1)/down, skipped)
			cr.copy(strip.Cr, strip.CStride, y/down, (rows+down-1)/down, skipped)
		}
		pad(strip, s.width, rows)
		return nil
	}
	return s
}

func transposed(r image.YCbCrSubsampleRatio) image.YCbCrSubsampleRatio {
	switch r {
	case image.YCbCrSubsampleRatio440:
		return image.YCbCrSubsampleRatio422
	case image.YCbCrSubsampleRatio422:
		return image.YCbCrSubsampleRatio440
	}
	return r
}

// turnedPlane is a plane in upright orientation: the sample at x, y is samples[across[x]+down[y]].
type turnedPlane struct {
	samples      []uint8
	across, down []int
	rows         bool // across is 0, 1, 2, ...
}

// turned returns a plane of the given size in upright orientation. Each stored sample counts for h columns and v rows.
func turned(samples []uint8, stride, width, height, h, v, orientation int) turnedPlane {
	xs, ys := make([]int, width), make([]int, height)
	for x := range xs {
		xs[x] = x / h
	}
	for y := range ys {
		ys[y] = y / v * stride
	}
	if orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8 {
		slices.Reverse(xs)
	}
	if orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7 {
		slices.Reverse(ys)
	}
	if orientation >= 5 {
		xs, ys = ys, xs
	}
	return turnedPlane{samples, xs, ys, h == 1 && (orientation == 1 || orientation == 4)}
}

// copy writes n rows, from row y, of a plane without that many samples at its beginning.
func (t turnedPlane) copy(dst []uint8, stride, y, n, skipped int) {
	down := t.down[y:][:n]
	if t.rows {
		for i, at := range down {
			copy(dst[i*stride:], t.samples[at-skipped:][:len(t.across)])
		}
		return
	}
	// By columns, which are rows of the stored plane after a quarter turn.
	for x, right := range t.across {
		right -= skipped
		for i, at := range down {
			dst[i*stride+x] = t.samples[at+right]
		}
	}
}
