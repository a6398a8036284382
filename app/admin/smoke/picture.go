package smoke

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"

	"imagery/app/client"
)

//go:embed pictures/*.png pictures/*.jpg
var pictures embed.FS

// picture is a photo with its golden result. mean and worst are the largest accepted differences between result and
// golden result, over all channels and pixels, in levels of 255. They are above 0 for JPEG, which is lossy.
type picture struct {
	name, golden string
	mean         float64
	worst        int
	decode       func(io.Reader) (image.Image, error)
}

var (
	lake  = picture{name: "lake.png", golden: "lake.golden.png", decode: png.Decode}
	phone = picture{name: "phone.jpg", golden: "phone.golden.png", mean: 3, worst: 48, decode: jpeg.Decode}
)

// send uploads one picture, waits for its result and compares it. It stops at the first step that fails.
func (r *run) send(ctx context.Context, p picture) error {
	var img client.Image
	var result []byte
	for _, step := range []struct {
		name string
		do   func() (detail string, err error)
	}{
		{"create", func() (_ string, err error) {
			if img, err = r.api.Create(ctx, ""); err == nil {
				r.report.Images = append(r.report.Images, img.ID)
			}
			return img.ID, err
		}},
		{"upload", func() (string, error) {
			photo, err := pictures.ReadFile("pictures/" + p.name)
			if err == nil {
				img, err = r.api.Upload(ctx, img.ID, p.name, photo)
			}
			return fmt.Sprintf("%d bytes", len(photo)), err
		}},
		{"process", func() (string, error) { return r.wait(ctx, &img) }},
		{"result", func() (detail string, err error) { result, detail, err = r.result(ctx, img); return }},
		{"compare", func() (string, error) { return p.compare(result) }},
	} {
		if err := r.step(p.name[:len(p.name)-len(".png")]+" "+step.name, step.do); err != nil {
			return err
		}
	}
	return nil
}

// wait waits until the image is final, for at most processTimeout.
func (r *run) wait(ctx context.Context, img *client.Image) (_ string, err error) {
	limited, cancel := context.WithTimeout(ctx, processTimeout)
	defer cancel()
	*img, err = r.api.Wait(limited, *img)
	switch {
	case limited.Err() != nil && ctx.Err() == nil:
		return "", fmt.Errorf("the image is still %s after %s", client.Printable(img.State), processTimeout)
	case err == nil && img.State == "failed":
		err = fmt.Errorf("the image failed: %s", client.Printable(img.Error))
	}
	return fmt.Sprintf("version %d", img.Version), err
}

// result downloads the result from the path in the image, through the redirect to the bucket.
func (r *run) result(ctx context.Context, img client.Image) (result []byte, detail string, err error) {
	if img.ProcessedImage != "/image/"+img.ID+"/processed" {
		return nil, "", fmt.Errorf("the image names %q as its result", client.Printable(img.ProcessedImage))
	}
	res, err := r.api.Result(ctx, img)
	if detail = fmt.Sprintf("%d bytes", len(res.Body)); err == nil && res.URL.Host != r.base.Host {
		detail += " from " + res.URL.Host
	}
	return res.Body, detail, err
}

// compare compares the result with the golden picture, pixel by pixel.
func (p picture) compare(result []byte) (string, error) {
	data, err := pictures.ReadFile("pictures/" + p.golden)
	if err != nil {
		return "", err
	}
	want, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return "", fmt.Errorf("decode the golden picture: %w", err)
	}
	got, err := p.decode(bytes.NewReader(result))
	if err != nil {
		return "", fmt.Errorf("decode the result: %w", err)
	}
	if got.Bounds().Size() != want.Bounds().Size() {
		return "", fmt.Errorf("the result is %v large, not %v", got.Bounds().Size(), want.Bounds().Size())
	}
	mean, worst := difference(got, want)
	pixels := want.Bounds().Dx() * want.Bounds().Dy()
	detail := fmt.Sprintf("%d pixels, differences: mean %.1f, worst %d", pixels, mean, worst)
	if mean > p.mean || worst > p.worst {
		return "", fmt.Errorf("%s; at most %.1f and %d are allowed", detail, p.mean, p.worst)
	}
	return detail, nil
}

// difference returns the mean and the largest difference between two pictures of the same size, over the four channels,
// not premultiplied, of all pixels.
func difference(a, b image.Image) (mean float64, worst int) {
	size, sum := a.Bounds().Size(), 0
	for y := range size.Y {
		for x := range size.X {
			p := color.NRGBAModel.Convert(a.At(a.Bounds().Min.X+x, a.Bounds().Min.Y+y)).(color.NRGBA)
			q := color.NRGBAModel.Convert(b.At(b.Bounds().Min.X+x, b.Bounds().Min.Y+y)).(color.NRGBA)
			for _, d := range [4]int{int(p.R) - int(q.R), int(p.G) - int(q.G), int(p.B) - int(q.B), int(p.A) - int(q.A)} {
				d = max(d, -d)
				sum, worst = sum+d, max(worst, d)
			}
		}
	}
	return float64(sum) / float64(4*size.X*size.Y), worst
}
