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

	"imagery/app/deploy/settings"
)

// kind is a kind of file.
type kind struct {
	name      string
	extension string
	result    string // the format that the service writes for it; all programs write the same
	maker     string // the operation of sharp.mjs that encodes it, since Go cannot encode all kinds
}

var (
	baseline    = kind{"JPEG", "jpg", "jpeg", "make-jpeg"}
	progressive = kind{"progressive JPEG", "jpg", "jpeg", "make-progressive"}
	lossless    = kind{"PNG", "png", "png", "make-png"}
	deep        = kind{"16-bit PNG", "png", "png", "make-deep"}
	indexed     = kind{"palette PNG", "png", "png", "make-palette"}
	webP        = kind{"WebP", "webp", "jpeg", "make-webp"}

	kinds = []kind{baseline, progressive, lossless, deep, indexed, webP}
)

// photo is one file to filter.
type photo struct {
	name          string // in the report
	kind          kind
	width, height int
	raw           []byte
}

// makePhotos returns photos of all kinds in one size, in megapixels.
func (t tools) makePhotos(ctx context.Context, original []byte, megapixels float64, cores []int) ([]photo, error) {
	encoder, err := t.startSharp("")(ctx, cores)
	if err != nil {
		return nil, err
	}
	defer encoder.close()
	picture, err := drawn(original, megapixels)
	if err != nil {
		return nil, fmt.Errorf("draw a picture of %.2g megapixels: %w", megapixels, err)
	}
	shallow, err := encodePNG(picture)
	if err != nil {
		return nil, err
	}
	var list []photo
	for _, k := range kinds {
		p := photo{name: fmt.Sprintf("%.2g MP %s", megapixels, k.name), kind: k,
			width: picture.Bounds().Dx(), height: picture.Bounds().Dy()}
		source := shallow
		if k == deep {
			if source, err = encodePNG(deepened(picture)); err != nil {
				return nil, err
			}
		}
		encoder.operation = k.maker
		if _, p.raw, err = encoder.filter(photo{name: p.name, kind: lossless, raw: source}); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// deepened returns a picture with 16 bits per sample, of which 12 are those of a camera's sensor: the lowest four of
// them are noise.
func deepened(img image.Image) *image.NRGBA64 {
	from := imaging.Clone(img)
	noise := make([]byte, len(from.Pix))
	rand.NewChaCha8([32]byte{}).Read(noise) // never fails
	to := image.NewNRGBA64(from.Rect)
	for i, v := range from.Pix {
		low := noise[i] & 0xf0
		if i%4 == 3 {
			low = v // alpha
		}
		to.Pix[2*i], to.Pix[2*i+1] = v, low
	}
	return to
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

// drawn returns the picture in one size: the original, scaled, or without an original a drawn landscape.
func drawn(original []byte, megapixels float64) (image.Image, error) {
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
	if have < pixels*1.2 && have <= settings.DefaultMaxPixels {
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

// encodePNG encodes a picture fast.
func encodePNG(img image.Image) ([]byte, error) {
	var b bytes.Buffer
	err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, img)
	return b.Bytes(), err
}

// encodeJPEG encodes a picture with quality 90.
func encodeJPEG(img image.Image) ([]byte, error) {
	var b bytes.Buffer
	err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 90})
	return b.Bytes(), err
}
