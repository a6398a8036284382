package rollout

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"imagery/app/admin/smoke"
)

// smokeWait bounds the wait for a new load balancer: its name and its first healthy target take minutes.
const smokeWait = 5 * time.Minute

// SmokeAt returns an Options.Smoke that uses the service at address from this machine. It verifies TLS certificates
// except under a load balancer's own name, for which no certificate exists. Errors that say nothing about the release
// are warnings.
func SmokeAt(address string, log func(string)) func(context.Context, string) (string, error) {
	return func(ctx context.Context, release string) (string, error) {
		o := smoke.Options{URL: address, Wait: smokeWait, Release: release,
			Log: func(line string) { log("smoke: " + line) }}
		if balancersOwnName(address) {
			o.Client = unverified()
		}
		_, err := smoke.Run(ctx, o)
		return verdict(err)
	}
}

// verdict turns an error that says nothing about the release into a warning: a load balancer that does not admit this
// machine (it need not be among allowedCidrs), a name that does not resolve here, and a certificate that this machine
// does not trust.
func verdict(err error) (warning string, _ error) {
	name, certificate := (*net.DNSError)(nil), (*tls.CertificateVerificationError)(nil)
	if errors.Is(err, smoke.ErrUnreachable) || errors.As(err, &name) || errors.As(err, &certificate) {
		return fmt.Sprintf("the release could not be tested: %v", err), nil
	}
	return "", err
}

// balancersOwnName reports whether address has the DNS name that AWS gives a load balancer.
func balancersOwnName(address string) bool {
	u, err := url.Parse(address)
	return err == nil && strings.HasSuffix(u.Hostname(), ".elb.amazonaws.com")
}

// unverified returns a client that accepts every certificate. The smoke test sends nothing confidential.
func unverified() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	return &http.Client{Transport: t, Timeout: time.Minute}
}
