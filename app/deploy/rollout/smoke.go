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
// are logged as warnings.
func SmokeAt(address string, log func(string)) func(context.Context, string) error {
	return func(ctx context.Context, release string) error {
		o := smoke.Options{URL: address, Wait: smokeWait, Release: release,
			Log: func(line string) { log("smoke: " + line) }}
		if balancersOwnName(address) {
			o.Client = unverified()
		}
		_, err := smoke.Run(ctx, o)
		if untested(err) {
			log(fmt.Sprintf("smoke: WARNING: the release could not be tested: %v", err))
			return nil
		}
		return err
	}
}

// untested reports whether an error says nothing about the release: a load balancer that does not admit this machine
// (it need not be among allowedCidrs), a name that does not resolve here, and a certificate that it does not trust.
func untested(err error) bool {
	name, certificate := (*net.DNSError)(nil), (*tls.CertificateVerificationError)(nil)
	return errors.Is(err, smoke.ErrUnreachable) || errors.As(err, &name) || errors.As(err, &certificate)
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

// smokeTest runs Options.Smoke once, in the background.
type smokeTest struct {
	try  func(ctx context.Context, release string) error // nil: no smoke test
	logs []string                                        // log groups that say why a request failed
	*progress
	cancel context.CancelFunc // nil: not started
	done   chan struct{}      // closed when err is set
	err    error
}

// start starts the test unless it has been started. The caller must call stop.
func (s *smokeTest) start(ctx context.Context, release string) {
	if s.try == nil || s.cancel != nil {
		return
	}
	s.log("smoke: using the service as a client does")
	ctx, s.cancel = context.WithCancel(ctx)
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		s.err = s.try(ctx, release)
	}()
}

// result reports whether the test is running, and a failure if it has ended with an error.
func (s *smokeTest) result() (running bool, err error) {
	if s.cancel == nil {
		return false, nil
	}
	select {
	case <-s.done:
		if s.err != nil {
			err = &Error{Reason: "the smoke test failed: " + s.err.Error(), Logs: s.logs}
		}
		return false, err
	default:
		return true, nil
	}
}

// stop cancels the test if it is running, and waits for its end.
func (s *smokeTest) stop() {
	if s.cancel != nil {
		s.cancel()
		<-s.done
	}
}
