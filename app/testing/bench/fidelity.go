package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/draw"
	"io"
	"log"
	"math"
)

// fidelity compares the result for one photo with the exact pixels, and with the file that sharp makes of those.
type fidelity struct {
	photo photo
	sizes [2]int     // of our result and of sharp's file of the exact pixels, in bytes
	noise [2]float64 // their PSNR in dB against the exact pixels; +Inf if they are equal
}

// measureFidelity measures all photos. The exact pixels are those of the reference decoder after the exact filter:
// image/jpeg with the nearest chroma sample for JPEG, as in the filter's tests, and libwebp, called by sharp, for WebP.
// The filter is exact on a PNG, which is lossless; the golden tests of package sepia prove that.
func (f *pipelineResults) measureFidelity(ctx context.Context, t tools, cores []int, photos []photo) {
	ours, err := t.startOurs("ours")(ctx, cores)
	if err != nil {
		f.fail("results", err)
		return
	}
	defer ours.close()
	sharp, err := t.startSharp("")(ctx, cores)
	if err != nil {
		f.fail("results", err)
		return
	}
	defer sharp.close()
	for _, p := range photos {
		if ctx.Err() != nil {
			return
		}
		q, err := compareResults(p, ours, sharp)
		if err != nil {
			f.fail("result of "+p.name, err)
			continue
		}
		log.Printf("%s: size %.2f, PSNR %s dB", p.name, float64(q.sizes[0])/float64(q.sizes[1]), q.gain())
		f.fidelities = append(f.fidelities, q)
	}
}

// compareResults measures one photo.
func compareResults(p photo, ours, sharp *engine) (q fidelity, err error) {
	q.photo = p
	source, err := exactPNG(p, sharp)
	if err != nil {
		return q, err
	}
	_, exact, err := ours.filter(photo{name: p.name + ", exact", kind: lossless, raw: source})
	if err != nil {
		return q, err
	}
	want, err := pixels(exact)
	if err != nil {
		return q, err
	}
	toResult := lossless
	toResult.result = p.kind.result
	sharp.operation = "encode"
	_, theirs, err := sharp.filter(photo{name: p.name + ", exact result", kind: toResult, raw: exact})
	if err != nil {
		return q, err
	}
	_, result, err := ours.filter(p)
	if err != nil {
		return q, err
	}
	for i, body := range [][]byte{result, theirs} {
		got, err := pixels(body)
		if err != nil {
			return q, err
		}
		q.sizes[i] = len(body)
		if q.noise[i], err = psnr(got, want); err != nil {
			return q, err
		}
	}
	return q, nil
}

// exactPNG returns a photo's pixels as a PNG.
func exactPNG(p photo, sharp *engine) ([]byte, error) {
	switch p.kind.extension {
	case "png":
		return p.raw, nil
	case "webp":
		from := p
		from.kind.result = "png"
		sharp.operation = lossless.maker
		_, raw, err := sharp.filter(from)
		return raw, err
	default:
		img, err := pixels(p.raw)
		if err != nil {
			return nil, err
		}
		return encodePNG(img)
	}
}

// pixels decodes an opaque picture with the standard library.
func pixels(raw []byte) (*image.RGBA, error) {
	img, _, err := image.Decode(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	canvas := image.NewRGBA(image.Rectangle{Max: img.Bounds().Size()})
	draw.Draw(canvas, canvas.Rect, img, img.Bounds().Min, draw.Src)
	return canvas, nil
}

// psnr returns the peak signal-to-noise ratio of the colour channels in dB.
func psnr(got, want *image.RGBA) (float64, error) {
	if got.Rect != want.Rect {
		return 0, fmt.Errorf("the picture has %s, want %s", got.Rect.Size(), want.Rect.Size())
	}
	var squares uint64
	for i, v := range want.Pix {
		if i%4 < 3 {
			d := int64(got.Pix[i]) - int64(v)
			squares += uint64(d * d)
		}
	}
	mean := float64(squares) / float64(len(want.Pix)/4*3)
	return 10 * math.Log10(255*255/mean), nil
}

// gain returns the PSNR of our result less that of sharp's.
func (q fidelity) gain() string {
	if q.photo.kind.result == lossless.result {
		return "lossless"
	}
	return fmt.Sprintf("%+.2f", q.noise[0]-q.noise[1])
}

// printFidelity writes the comparison of the results with sharp's files of the exact pixels.
func printFidelity(w io.Writer, f pipelineResults) {
	fmt.Fprint(w, "\nThe result against the exact pixels, and against the file that sharp makes of those:\n\n"+
		"| photo | our result | sharp's file of the exact pixels | ours / sharp's | PSNR of ours, dB | of sharp's "+
		"| difference |\n|---|--:|--:|--:|--:|--:|--:|\n")
	for _, q := range f.fidelities {
		ratio := float64(q.sizes[0]) / float64(q.sizes[1])
		fmt.Fprintf(w, "| %s | %s | %s | **%.2f** | %s | %s | %s |\n", q.photo.name, mib(int64(q.sizes[0])),
			mib(int64(q.sizes[1])), ratio, decibels(q.noise[0]), decibels(q.noise[1]), q.gain())
	}
}

func decibels(v float64) string {
	if math.IsInf(v, 1) {
		return ""
	}
	return fmt.Sprintf("%.2f", v)
}
