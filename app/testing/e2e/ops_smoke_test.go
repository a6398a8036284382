package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// smokeReport is the output of smoke --json.
type smokeReport struct {
	URL             string
	OK, Unreachable bool
	Steps           []struct {
		Name, Detail, Error string
		Milliseconds        int64
	}
	Releases     map[string]int
	Images       []string
	Milliseconds int64
}

// TestSmoke runs the smoke test on both backends, with presigned links where there is a bucket. A service that does not
// run, or has another release, is an error that says so.
func TestSmoke(t *testing.T) {
	t.Parallel()
	onBothBackends(t, quick, func(d *deployment) {
		fleet := d.fleet()
		out, _ := d.run(0, "smoke", fleet.url)
		d.contains(out, "lake compare", "3072 pixels, differences: mean 0.0, worst 0\n",
			"ok: 2 photos were processed correctly")
		if linked := strings.Contains(out, " bytes from 127.0.0.1:"); linked != (d.data == "") {
			d.Errorf("results came through links: %t\n%s", linked, out)
		}
		var r smokeReport
		d.runJSON(0, &r, "smoke", fleet.url, "--for", "1m")
		if !r.OK || r.Unreachable || len(r.Steps) != 13 || len(r.Releases) != 1 || len(r.Images) != 2 {
			d.Errorf("%+v", r)
		}
		for _, id := range r.Images {
			if img := d.get(id); img.State != "processed" {
				d.Errorf("%+v", img)
			}
		}
		out, errs := d.run(1, "smoke", fleet.url, "--release", strings.Repeat("ab", 32))
		d.contains(out+errs, "8 of 8 answers came from another release than abababababab")
		fleet.stop(d)
		if d.runJSON(1, &r, "smoke", fleet.url); r.OK || len(r.Steps) != 1 {
			d.Errorf("an unreachable service: %+v", r)
		}
		_, errs = d.run(1, "smoke", fleet.url)
		d.contains(errs, "no program listens at the address")
		d.run(2, "smoke")
		d.run(2, "smoke", "localhost:8080")
		d.run(2, "smoke", fleet.url, "--for", "-1s")
		d.run(2, "smoke", fleet.url, "--release", "v1")
	})
}

// TestSmokeSeesAnotherFilter checks that the smoke test detects a service with another filter.
func TestSmokeSeesAnotherFilter(t *testing.T) {
	t.Parallel()
	d := localDeployment(t, quick)
	fleet := d.fleet()
	at := httptest.NewServer(between(t, fleet.url, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/processed") {
			return false
		}
		http.Redirect(w, r, strings.TrimSuffix(r.URL.Path, "/processed")+"?signature=5ecret", http.StatusFound)
		return true
	}))
	defer at.Close()
	out, errs := d.run(1, "smoke", at.URL)
	d.contains(out, "FAILED: decode the result")
	d.contains(errs, "2 steps of 13 failed")
	if strings.Contains(out+errs, "5ecret") {
		d.Errorf("it prints a signature:\n%s%s", out, errs)
	}
}

// between returns a proxy that may answer requests itself.
func between(t *testing.T, to string, answer func(http.ResponseWriter, *http.Request) bool) http.Handler {
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !answer(w, r) {
			proxy.ServeHTTP(w, r)
		}
	})
}
