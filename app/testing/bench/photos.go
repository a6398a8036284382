package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/disintegration/imaging"
)

// Kinds of files.
const (
	baseline    = "JPEG"
	progressive = "progressive JPEG"
	lossless    = "PNG"
	webP        = "WebP"
)

// kinds lists the kinds with the operation of sharp.mjs that encodes each.
var kinds = []struct{ name, maker string }{
	{baseline, "make-jpeg"}, {progressive, "make-progressive"}, {lossless, "make-png"}, {webP, "make-webp"},
}

// photo is one file to filter.
type photo struct {
	name          string // in the report
	kind          string
	width, height int
	raw           []byte
}

// result returns the format that the service writes for this photo. All programs write the same.
func (p photo) result() string {
	if p.kind == lossless {
		return "png"
	}
	return "jpeg"
}

func (p photo) extension() string {
	return map[string]string{baseline: "jpg", progressive: "jpg", lossless: "png", webP: "webp"}[p.kind]
}

// makePhotos returns photos of all kinds in these sizes, in megapixels. sharp encodes them, because Go cannot encode
// all kinds.
func (t tools) makePhotos(ctx context.Context, original []byte, sizes []float64, cores []int) ([]photo, error) {
	list := make([]photo, len(sizes)*len(kinds))
	for k, kind := range kinds {
		encoder, err := t.startSharp(kind.maker)(ctx, cores)
		if err != nil {
			return nil, err
		}
		defer encoder.close()
		for s, size := range sizes {
			p := photo{name: fmt.Sprintf("%g MP %s", size, kind.name), kind: kind.name}
			picture, err := draw(original, size)
			if err != nil {
				return nil, fmt.Errorf("draw %s: %w", p.name, err)
			}
			var b bytes.Buffer
			if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, picture); err != nil {
				return nil, err
			}
			p.width, p.height = picture.Bounds().Dx(), picture.Bounds().Dy()
			if _, p.raw, err = encoder.filter(photo{name: p.name, kind: lossless, raw: b.Bytes()}); err != nil {
				return nil, err
			}
			list[s*len(kinds)+k] = p
		}
	}
	return list, nil
}

// findOriginal reads the JPEG with most pixels in a folder. Without a folder it returns nil, and the picture is drawn.
func findOriginal(folder string) (raw []byte, about string, err error) {
	if folder == "" {
		return nil, "a picture drawn by the benchmark (--photos uses real ones)", nil
	}
	paths, err := filepath.Glob(filepath.Join(folder, "*.[jJ][pP]*[gG]"))
	if err != nil {
		return nil, "", err
	}
	most := 0
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, "", err
		}
		if c, _, err := image.DecodeConfig(bytes.NewReader(data)); err == nil && c.Width*c.Height > most {
			most, raw, about = c.Width*c.Height, data, filepath.Base(path)
		}
	}
	if raw == nil {
		return nil, "", fmt.Errorf("no JPEG in %s", folder)
	}
	return raw, "the photo " + about + ", scaled, and mirrored at its edges for sizes above its own", nil
}

// draw returns the picture in one size: the original, scaled, or without an original a drawn landscape.
func draw(original []byte, megapixels float64) (image.Image, error) {
	pixels := megapixels * 1e6
	if original == nil {
		height := math.Sqrt(pixels * 2 / 3)
		return landscape(int(height*1.5), int(height)), nil
	}
	img, err := imaging.Decode(bytes.NewReader(original), imaging.AutoOrientation(true))
	if err != nil {
		return nil, err
	}
	have := float64(img.Bounds().Dx() * img.Bounds().Dy())
	// An enlarged photo would have no detail; a mirrored one has as much as the original.
	for ; have*1.2 < pixels; have *= 4 {
		img = mirrored(img)
	}
	if have < pixels*1.2 {
		return img, nil
	}
	return imaging.Resize(img, int(float64(img.Bounds().Dx())*math.Sqrt(pixels/have)), 0, imaging.Lanczos), nil
}

// mirrored returns a picture four times as large that is mirrored in both directions, so that it has no seams.
func mirrored(img image.Image) image.Image {
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	canvas := imaging.New(2*w, 2*h, image.Black.C)
	right := imaging.FlipH(img)
	canvas = imaging.Paste(canvas, img, image.Pt(0, 0))
	canvas = imaging.Paste(canvas, right, image.Pt(w, 0))
	canvas = imaging.Paste(canvas, imaging.FlipV(img), image.Pt(0, h))
	return imaging.Paste(canvas, imaging.FlipV(right), image.Pt(w, h))
}

// landscape draws a picture with the statistics of a photo: noise at every scale, with less contrast at each finer one,
// soft colours, and the noise of a sensor. It is the same in every run.
func landscape(width, height int) *image.NRGBA {
	random := rand.NewChaCha8([32]byte{})
	canvas := imaging.New(width, height, color.Gray{128})
	for cell, opacity := 1024, 0.6; cell >= 1; cell, opacity = cell/2, opacity*0.77 {
		size := image.Rect(0, 0, width/cell+2, height/cell+2)
		grey, colour := image.NewGray(size), image.NewYCbCr(size, image.YCbCrSubsampleRatio444)
		var octave image.Image = grey
		if cell > 64 {
			octave = colour
		}
		for _, plane := range [][]byte{grey.Pix, colour.Y, colour.Cb, colour.Cr} {
			random.Read(plane)
		}
		canvas = imaging.Overlay(canvas, imaging.Resize(octave, width, height, imaging.Linear), image.Point{}, opacity)
	}
	return canvas
}

// encodeJPEG encodes a picture with quality 90.
func encodeJPEG(img image.Image) ([]byte, error) {
	var b bytes.Buffer
	err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 90})
	return b.Bytes(), err
}
