package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"

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
	size          string // in megapixels, rounded
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

func (p photo) pixels() int64 { return int64(p.width) * int64(p.height) }

// Sizes in megapixels.
const (
	small  = "0.3"
	medium = "6"
	large  = "24"
)

// maker encodes a PNG as another kind of file.
type maker func(operation string, asPNG []byte) ([]byte, error)

// makePhotos returns photos of these sizes, which it keeps in the cache folder for the next run. about describes their
// origin.
func makePhotos(ctx context.Context, cache, folder string, sizes []string, make maker) (
	list []photo, about string, err error) {
	original, about, err := findOriginal(folder)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(append([]byte("picture 1\n"), original...))
	cache = filepath.Join(cache, fmt.Sprintf("photos-%x", sum[:6]))
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, "", err
	}
	for _, size := range sizes {
		var picture []byte // as PNG; only made if a file is missing
		for _, k := range kinds {
			if ctx.Err() != nil {
				return nil, "", ctx.Err()
			}
			p := photo{name: size + " MP " + k.name, kind: k.name, size: size}
			path := filepath.Join(cache, strings.ReplaceAll(p.name, " ", "-"))
			if p.raw, err = os.ReadFile(path); os.IsNotExist(err) {
				p.raw, err = makeFile(&picture, original, p, k.maker, make)
				if err == nil {
					err = os.WriteFile(path, p.raw, 0o644)
				}
			}
			if err == nil {
				p.width, p.height, err = dimensions(p.raw)
			}
			if err != nil {
				return nil, "", fmt.Errorf("make a photo, %s: %w", p.name, err)
			}
			list = append(list, p)
		}
	}
	return list, about, nil
}

// makeFile encodes the picture in one size. If the original already has this size and kind, it is returned unchanged.
func makeFile(picture *[]byte, original []byte, p photo, operation string, make maker) ([]byte, error) {
	if p.kind == baseline && p.size == medium && isBaseline(original) {
		return original, nil
	}
	if *picture == nil {
		img, err := draw(original, p.size)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, img); err != nil {
			return nil, err
		}
		*picture = b.Bytes()
	}
	return make(operation, *picture)
}

// findOriginal reads the JPEG with most pixels in a folder. Without a folder it returns nil, and the picture is drawn.
func findOriginal(folder string) (raw []byte, about string, err error) {
	if folder == "" {
		return nil, "a picture drawn by the benchmark (-photos uses real ones)", nil
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
		if w, h, err := dimensions(data); err == nil && w*h > most {
			most, raw, about = w*h, data, filepath.Base(path)
		}
	}
	if raw == nil {
		return nil, "", fmt.Errorf("no JPEG in %s", folder)
	}
	return raw, "the photo " + about + ", scaled down for 0.3 megapixels and mirrored at its edges for 24", nil
}

// isBaseline reports whether a file is an upright baseline JPEG of about 6 megapixels with 4:2:0 subsampling, as
// cameras write them.
func isBaseline(raw []byte) bool {
	c, err := jpeg.Decode(bytes.NewReader(raw))
	if err != nil {
		return false
	}
	m, ok := c.(*image.YCbCr)
	upright, err := imaging.Decode(bytes.NewReader(raw), imaging.AutoOrientation(true))
	if !ok || err != nil || upright.Bounds() != c.Bounds() || frameKind(raw) != 0xc0 {
		return false
	}
	pixels := m.Rect.Dx() * m.Rect.Dy()
	return m.SubsampleRatio == image.YCbCrSubsampleRatio420 && pixels > 5_500_000 && pixels < 6_500_000
}

// draw returns the picture in one size: the original, scaled, or without an original a drawn landscape.
func draw(original []byte, size string) (image.Image, error) {
	pixels := map[string]float64{small: 0.3e6, medium: 6e6, large: 24e6}[size]
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
