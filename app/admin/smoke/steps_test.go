package smoke

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := f(r)
	if res != nil {
		res.Request = r
	}
	return res, err
}

func reply(code int, body string) *http.Response {
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: readCloser{strings.NewReader(body)}}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

var (
	unresolved = &net.DNSError{Err: "no such host", Name: "service.example", IsNotFound: true}
	dropped    = &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
	refused    = &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	silent     = &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
)

// TestReach: faults that may pass are retried for as long as Options.Wait allows, and the reason is logged; others are
// returned at once.
func TestReach(t *testing.T) {
	for name, c := range map[string]struct {
		err         error // of every attempt before recovers
		other       error // of the second attempt, and of every third one after it
		dns         int   // number of attempts that fail with a DNS error first
		status      int
		wait        time.Duration
		recovers    time.Duration // 0: never
		unreachable bool
		want        string
		least, most time.Duration // of the time that reach takes
	}{
		"name resolves later": {err: unresolved, wait: 5 * time.Minute, recovers: 2 * time.Minute,
			least: 2 * time.Minute, most: 2*time.Minute + 2*reachInterval},
		"name never resolves": {err: unresolved, wait: 5 * time.Minute,
			want: "the name service.example does not resolve (yet)", least: 4 * time.Minute, most: 5 * time.Minute},
		"name, no wait": {err: unresolved, want: "does not resolve (yet)"},
		"dropped": {err: dropped, wait: 5 * time.Minute, unreachable: true, want: "is this machine in allowedCidrs?",
			least: giveUpAfter, most: giveUpAfter + 20*time.Second},
		"dropped, no wait": {err: dropped, unreachable: true, want: "connection timed out"},
		"dropped at first": {err: dropped, wait: 5 * time.Minute, recovers: 40 * time.Second,
			least: 40 * time.Second, most: time.Minute},
		"dropped and refused": {err: dropped, other: refused, wait: 5 * time.Minute,
			want: "no program listens at the address", least: 4 * time.Minute, most: 5 * time.Minute},
		"name, then dropped": {err: dropped, dns: 2, wait: 5 * time.Minute, unreachable: true, want: "allowedCidrs",
			least: giveUpAfter, most: giveUpAfter + 30*time.Second},
		"refused": {err: refused, wait: time.Minute, want: "no program listens",
			least: 50 * time.Second, most: time.Minute},
		"no response": {err: silent, wait: time.Minute, want: "i/o timeout", least: 50 * time.Second, most: time.Minute},
		"no server ready": {status: 503, wait: 5 * time.Minute, recovers: time.Minute,
			least: time.Minute, most: time.Minute + 2*reachInterval},
		"another site": {status: 404, wait: 5 * time.Minute,
			want: "not Imagery, or it is broken: GET /healthz answered 404"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, attempts := time.Now(), 0
				h := &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
					attempts++
					switch {
					case c.recovers > 0 && time.Since(began) >= c.recovers:
						return reply(200, ""), nil
					case attempts <= c.dns:
						return nil, unresolved
					case c.other != nil && attempts%3 == 2:
						return nil, c.other
					case c.err != nil:
						if c.err == dropped {
							time.Sleep(dialTimeout)
						}
						return nil, c.err
					}
					return reply(c.status, ""), nil
				})}
				var log []string
				base, _ := address("http://service.example")
				options := Options{Wait: c.wait, Log: func(l string) { log = append(log, l) }}
				r := &run{Options: options, base: base, api: newClient(base.String(), h)}
				_, err := r.reach(t.Context())
				took := time.Since(began)
				if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) ||
					errors.Is(err, ErrUnreachable) != c.unreachable {
					t.Errorf("%v, want %q", err, c.want)
				}
				if took < c.least || c.most > 0 && took > c.most || c.most == 0 && took > dialTimeout {
					t.Errorf("took %s, want %s to %s", took, c.least, c.most)
				}
				if waited := c.most > 0; waited != (len(log) == 1) && c.other == nil && c.dns == 0 {
					t.Errorf("logged %q", log)
				}
			})
		})
	}
}

// TestCancel: Run returns when its context ends.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		client := &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			return nil, unresolved
		})}
		report, err := Run(ctx, Options{URL: "http://service.example", Wait: time.Hour, Client: client})
		if !errors.Is(err, context.DeadlineExceeded) || report.Unreachable || report.Took != time.Minute.Milliseconds() {
			t.Errorf("%+v, %v", report, err)
		}
	})
}

// TestUnreachable: if packets are dropped the report says so, and no further step is tried.
func TestUnreachable(t *testing.T) {
	client := &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) { return nil, dropped })}
	report, err := Run(t.Context(), Options{URL: "http://user:pass@service.example", Client: client})
	if !errors.Is(err, ErrUnreachable) || !report.Unreachable || report.OK || len(report.Steps) != 1 ||
		strings.Contains(fmt.Sprint(report, err), "pass@") {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestAddresses(t *testing.T) {
	for _, bad := range []string{"", "localhost:8080", "ftp://x", "http://", "http://x?y=1", "http://x#y", "http://a b"} {
		if report, err := Run(t.Context(), Options{URL: bad}); err == nil || len(report.Steps) > 0 {
			t.Errorf("%q: %+v, %v", bad, report, err)
		}
	}
	report, err := Run(t.Context(), Options{URL: "http://127.0.0.1:1", Release: "v1"})
	if err == nil || len(report.Steps) > 0 {
		t.Errorf("%+v, %v", report, err)
	}
	if _, err := address("ftp://user:pass@x"); err == nil || strings.Contains(err.Error(), "pass@") {
		t.Error(err)
	}
}
