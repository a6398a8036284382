package rollout

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"imagery/app/admin/smoke"
)

func TestSmokeAt(t *testing.T) {
	var lines []string
	log := func(line string) { lines = append(lines, line) }
	release := strings.Repeat("0a", 32)
	failing := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusTeapot)
	}))
	defer failing.Close()
	err := SmokeAt(failing.URL, log)(t.Context(), release)
	if last := lines[len(lines)-1]; err != nil || !strings.HasPrefix(last, "smoke: WARNING: the release could not be") ||
		!strings.Contains(last, "certificate") {
		t.Errorf("a certificate that is not trusted: %q, %v", lines, err)
	}
	plain := httptest.NewServer(failing.Config.Handler)
	defer plain.Close()
	if err := SmokeAt(plain.URL, log)(t.Context(), release); err == nil {
		t.Errorf("a service that fails passes: %q", lines)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := SmokeAt(failing.URL, log)(ctx, ""); err == nil {
		t.Error("an interrupted smoke test passed")
	}
	for _, e := range []error{smoke.ErrUnreachable, &net.DNSError{Err: "no such host", Name: "lb"}} {
		if !untested(fmt.Errorf("answers: %w", e)) {
			t.Errorf("%v: it fails the release", e)
		}
	}
	if !strings.Contains(smoke.ErrUnreachable.Error(), "allowedCidrs") {
		t.Error(smoke.ErrUnreachable)
	}
}

// Certificates are not verified for a load balancer's own name only, for which none exists.
func TestCertificatesAreVerified(t *testing.T) {
	for address, own := range map[string]bool{
		"https://imagery-1.eu-west-1.elb.amazonaws.com": true, "https://photos.example.com": false,
		"https://elb.amazonaws.com.example.com": false, "https://fakeelb.amazonaws.com": false,
	} {
		if balancersOwnName(address) != own {
			t.Errorf("%s: %v", address, !own)
		}
	}
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	res, err := unverified().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}
