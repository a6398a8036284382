package rollout

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"imagery/app/ops/smoke"
)

// smokeWait is for a balancer that is new: its name and its first healthy target take minutes.
const smokeWait = 5 * time.Minute

// SmokeAt is an Options.Smoke that tries the service at a URL from here. A closed door is a warning: whoever deploys need not be among allowedCidrs.
func SmokeAt(url string, log func(string)) func(context.Context, string) (string, error) {
	return func(ctx context.Context, release string) (string, error) {
		o := smoke.Options{URL: url, Wait: smokeWait, Release: release, Log: func(line string) { log("smoke: " + line) }}
		if strings.HasPrefix(url, "https:") {
			o.Client = nameless()
		}
		_, err := smoke.Run(ctx, o)
		return verdict(err)
	}
}

// verdict turns what says nothing about the release into a warning: a balancer that does not admit this machine, and a
// name that this machine cannot resolve.
func verdict(err error) (warning string, _ error) {
	if name := (*net.DNSError)(nil); errors.Is(err, smoke.ErrClosed) || errors.As(err, &name) {
		return fmt.Sprintf("nobody could try the release: %v", err), nil
	}
	return "", err
}

// nameless speaks to the balancer under its own name, which no certificate has. What it sends is a photo that anybody
// may see.
func nameless() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	return &http.Client{Transport: t, Timeout: time.Minute}
}
