package smoke

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"embed"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"net"
	"net/http"
	"slices"
	"syscall"
	"time"

	"imagery/app/client"
)

const (
	// reachInterval is the time between two attempts to reach the service.
	reachInterval = 3 * time.Second
	// giveUpAfter sets how long all connections must time out until reach gives up early: a firewall that has dropped
	// packets for a minute will not stop doing so.
	giveUpAfter = time.Minute
)

// reach requests /healthz until it succeeds, for at most Options.Wait. It returns an error early if retrying cannot
// help.
func (r *run) reach(ctx context.Context) (string, error) {
	began, lastReason := time.Now(), ""
	var timingOut time.Time // since when every attempt has timed out; zero if the last one failed otherwise
	var before error        // the last error of another kind from the service's address
	for {
		attempt := time.Now()
		_, err := r.get(ctx, "/healthz")
		if err == nil {
			return "GET /healthz is 200", nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		reason, retry := unreachableReason(r.base.Hostname(), err)
		switch dns := (*net.DNSError)(nil); {
		case !errors.Is(reason, ErrUnreachable):
			if timingOut = (time.Time{}); !errors.As(err, &dns) {
				before = reason
			}
		case before != nil: // no firewall, since there was a response before
			reason = fmt.Errorf("%s: the connection timed out, and before that %w", r.base.Hostname(), before)
		case timingOut.IsZero():
			timingOut = attempt
		}
		giveUp := !timingOut.IsZero() && time.Since(timingOut) >= giveUpAfter
		if !retry || giveUp || time.Since(began)+reachInterval > r.Wait {
			return "", reason
		}
		if reason.Error() != lastReason {
			lastReason = reason.Error()
			r.Log(fmt.Sprintf("waiting for up to %s: %s", (r.Wait - time.Since(began)).Round(time.Second), lastReason))
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(reachInterval):
		}
	}
}

// unreachableReason describes why the service cannot be reached, and reports whether retrying may help.
func unreachableReason(host string, err error) (reason error, retry bool) {
	dns, status := (*net.DNSError)(nil), (*client.StatusError)(nil)
	cert, dial := (*tls.CertificateVerificationError)(nil), (*net.OpError)(nil)
	wrongName := x509.HostnameError{}
	noServer := []int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}
	switch {
	case errors.As(err, &dns):
		return fmt.Errorf("the name %s does not resolve (yet): %w", host, dns), true
	case errors.As(err, &wrongName):
		return fmt.Errorf("the certificate is not for %s; use a domain that is in it: %w", host, wrongName), false
	case errors.As(err, &cert):
		return fmt.Errorf("the certificate is not trusted: %w", cert), false
	case errors.As(err, &dial) && dial.Op == "dial" && dial.Timeout():
		return fmt.Errorf("%s: %w", host, ErrUnreachable), true
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no program listens at the address: %w", err), true
	case errors.As(err, &status) && slices.Contains(noServer, status.Status):
		return fmt.Errorf("the load balancer has no server that is ready: %w", status), true
	case errors.As(err, &status):
		return fmt.Errorf("this is not Imagery, or it is broken: %w", status), false
	default:
		return err, true
	}
}

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
