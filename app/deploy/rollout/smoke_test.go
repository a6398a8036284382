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
	warning, err := SmokeAt(failing.URL, log)(t.Context(), release)
	if err != nil || !strings.Contains(warning, "certificate") {
		t.Errorf("a certificate that is not trusted: %q, %v", warning, err)
	}
	plain := httptest.NewServer(failing.Config.Handler)
	defer plain.Close()
	if warning, err := SmokeAt(plain.URL, log)(t.Context(), release); warning != "" || err == nil {
		t.Errorf("a service that fails: %q, %v", warning, err)
	}
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "smoke: ") {
		t.Errorf("%q", lines)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := SmokeAt(failing.URL, log)(ctx, ""); err == nil {
		t.Error("an interrupted smoke test passed")
	}
	warning, err = verdict(fmt.Errorf("answers: %w", smoke.ErrUnreachable))
	if err != nil || !strings.Contains(warning, "allowedCidrs") {
		t.Errorf("a load balancer that does not admit this machine: %q, %v", warning, err)
	}
	unknown := fmt.Errorf("answers: %w", &net.DNSError{Err: "no such host", Name: "lb"})
	if warning, err := verdict(unknown); err != nil || !strings.Contains(warning, "no such host") {
		t.Errorf("a name that does not resolve: %q, %v", warning, err)
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
