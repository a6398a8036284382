package smoke

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

//go:embed pictures/*.png pictures/*.jpg
var pictures embed.FS

// picture is a photo and how far its result may be from the golden one, in levels of 255: its average over all
// channels and pixels, and its worst. The result of a JPEG went through a lossy encoder, and through a decoder
// that may be another than the golden's.
type picture struct {
	name, golden string
	mean         float64
	worst        int
	decode       func(data []byte) (image.Image, error)
}

var (
	lake  = picture{name: "lake.png", golden: "lake.golden.png", decode: decodePNG}
	phone = picture{name: "phone.jpg", golden: "phone.golden.png", mean: 3, worst: 48, decode: decodeJPEG}
)

func decodePNG(data []byte) (image.Image, error)  { return png.Decode(bytes.NewReader(data)) }
func decodeJPEG(data []byte) (image.Image, error) { return jpeg.Decode(bytes.NewReader(data)) }

// mostResult bounds the result of these small pictures, in bytes.
const mostResult = 8 << 20

// view is an image as the service shows it.
type view struct {
	ID             string `json:"id"`
	Version        int64  `json:"version"`
	State          string `json:"state"`
	ProcessedImage string `json:"processedImage"`
	Error          string `json:"error"`
}

// send takes one picture the way of a user's photo. The first step that fails ends it.
func (r *run) send(ctx context.Context, p picture) error {
	var v view
	var result answer
	for _, step := range []struct {
		name string
		do   func() (string, error)
	}{
		{"create", func() (detail string, err error) { v, err = r.create(ctx); return v.ID, err }},
		{"upload", func() (string, error) { return r.upload(ctx, &v, p.name) }},
		{"process", func() (string, error) { return r.follow(ctx, &v) }},
		{"result", func() (detail string, err error) { result, detail, err = r.result(ctx, v); return }},
		{"compare", func() (string, error) { return p.compare(result.body) }},
	} {
		if err := r.step(p.name[:len(p.name)-len(".png")]+" "+step.name, step.do); err != nil {
			return err
		}
	}
	return nil
}

// create makes an image.
func (r *run) create(ctx context.Context) (v view, err error) {
	a, err := r.do(ctx, http.MethodPost, "/image", nil, mostAnswer)
	if err == nil {
		v, err = a.view(http.StatusCreated)
	}
	if err == nil {
		r.report.Images = append(r.report.Images, v.ID)
	}
	return v, err
}

// upload sends the picture as a form does.
func (r *run) upload(ctx context.Context, v *view, name string) (string, error) {
	photo, err := pictures.ReadFile("pictures/" + name)
	if err != nil {
		return "", err
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", name)
	if err != nil {
		return "", err
	}
	_, _ = part.Write(photo) // a buffer takes everything
	if err := form.Close(); err != nil {
		return "", err
	}
	a, err := r.do(ctx, http.MethodPost, "/image/"+url.PathEscape(v.ID)+"/upload", &body, mostAnswer,
		func(req *http.Request) { req.Header.Set("Content-Type", form.FormDataContentType()) })
	if err == nil {
		*v, err = a.view(http.StatusAccepted)
	}
	return fmt.Sprintf("%d bytes", len(photo)), err
}

// Pause returns how long a client should leave an image alone after an answer to a wait: as long as Retry-After says,
// in seconds, and at least a second if the answer was early, which is to say that it came before its time and brought no
// change. A server that is full, or stops, answers at once, and to ask again at once would be a storm. Up to half is
// added at random, so that many clients do not come back in step.
func Pause(header http.Header, early bool) time.Duration {
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		seconds = 0
	}
	pause := time.Duration(min(seconds, 300)) * time.Second
	if early {
		pause = max(pause, time.Second)
	}
	if pause == 0 {
		return 0
	}
	return pause + rand.N(pause/2)
}

// follow waits for the end of the image, as the page does: each request is answered when something changed.
func (r *run) follow(ctx context.Context, v *view) (string, error) {
	began := time.Now()
	for v.State != "processed" {
		if v.State == "failed" {
			return "", fmt.Errorf("the image failed: %s", printable(v.Error))
		}
		left := processBound - time.Since(began)
		if left < time.Millisecond { // a wait of less is none
			return "", fmt.Errorf("the image is still %s after %s", printable(v.State), processBound)
		}
		wait := min(left, 20*time.Second).Round(time.Millisecond)
		path := fmt.Sprintf("/image/%s?wait=%s&version=%d", url.PathEscape(v.ID), wait, v.Version)
		asked := time.Now()
		a, err := r.get(ctx, path, mostAnswer)
		if err != nil {
			return "", err
		}
		now, err := a.view(http.StatusOK)
		if err != nil {
			return "", err
		}
		if pause := Pause(a.header, now.Version == v.Version && time.Since(asked) < wait); pause > 0 && now.State == v.State {
			select {
			case <-ctx.Done():
				return "", ctx.Err()
			case <-time.After(pause):
			}
		}
		*v = now
	}
	return fmt.Sprintf("version %d", v.Version), nil
}

// result fetches the result where the image says, through the redirect to the bucket.
func (r *run) result(ctx context.Context, v view) (answer, string, error) {
	if v.ProcessedImage != "/image/"+v.ID+"/processed" {
		return answer{}, "", fmt.Errorf("the image names %q as its result", printable(v.ProcessedImage))
	}
	a, err := r.get(ctx, v.ProcessedImage, mostResult)
	if err == nil {
		err = a.want(http.StatusOK)
	}
	if err != nil {
		return a, "", err
	}
	detail := fmt.Sprintf("%d bytes", len(a.body))
	if a.from.Host != r.base.Host {
		detail += " from " + a.from.Host
	}
	return a, detail, nil
}

// view reads an image from an answer with that status.
func (a answer) view(status int) (v view, err error) {
	if err := a.want(status); err != nil {
		return v, err
	}
	if err := json.Unmarshal(a.body, &v); err != nil || v.ID == "" {
		return v, fmt.Errorf("%s answered no image", a.asked)
	}
	return v, nil
}

// compare holds the result against the golden picture, pixel by pixel.
func (p picture) compare(result []byte) (string, error) {
	data, err := pictures.ReadFile("pictures/" + p.golden)
	if err != nil {
		return "", err
	}
	want, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return "", fmt.Errorf("decode the golden picture: %w", err)
	}
	got, err := p.decode(result)
	if err != nil {
		return "", fmt.Errorf("decode the result: %w", err)
	}
	if got.Bounds().Size() != want.Bounds().Size() {
		return "", fmt.Errorf("the result is %v large, not %v", got.Bounds().Size(), want.Bounds().Size())
	}
	mean, worst := difference(got, want)
	detail := fmt.Sprintf("%d pixels, differences: mean %.1f, worst %d", want.Bounds().Dx()*want.Bounds().Dy(), mean, worst)
	if mean > p.mean || worst > p.worst {
		return "", fmt.Errorf("%s; at most %.1f and %d are right", detail, p.mean, p.worst)
	}
	return detail, nil
}

// difference of two pictures of one size, over all four straight channels.
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
