// Package smoke tests a running service as a user would: it opens the page, uploads photos, waits, and compares the
// results with the expected pixels. It needs only the service's address. It has no dependencies outside the standard
// library, because the deployer uses it, too.
package smoke

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"imagery/app/client"
)

// Options configures a run. Only URL is required.
type Options struct {
	URL string // of the service, such as http://localhost:8080; a path in it is kept
	// Wait limits how long to retry the first request while the name does not resolve, connections fail, or the load
	// balancer has no server. No other request is retried. 0: one attempt.
	Wait time.Duration
	// Release is the SHA-256 that every response of /version must have, 64 hex digits or a prefix of them. Empty means
	// any; the report has them all.
	Release string
	// Client replaces the default HTTP client; its transport must limit the time of a dial.
	Client *http.Client
	// Log is called with one line for each finished step, and with the reason for waiting whenever that changes. It may
	// be nil.
	Log func(string)
}

// Report is the result of a run. Run also returns it with an error.
type Report struct {
	URL   string `json:"url"`
	OK    bool   `json:"ok"`
	Steps []Step `json:"steps"`
	// Unreachable is true if no connection could be opened, for example because a firewall drops this machine's packets.
	// The service itself may be healthy.
	Unreachable bool `json:"unreachable"`
	// Releases counts the responses of /version by release.
	Releases map[string]int `json:"releases"`
	Images   []string       `json:"images"` // ids of the created images, which are not deleted
	Took     int64          `json:"milliseconds"`
}

// Step is one action of a user.
type Step struct {
	Name   string `json:"name"`
	Detail string `json:"detail,omitempty"`
	Error  string `json:"error,omitempty"` // empty if it succeeded
	Took   int64  `json:"milliseconds"`
}

// ErrUnreachable is returned by Run when every connection timed out. A rollout treats it as a warning: the deployer
// may be outside the address ranges that may use the service.
var ErrUnreachable = errors.New("connection timed out; is this machine in allowedCidrs?")

const (
	// processTimeout limits the time to process a photo. It suffices for a fleet with one process left.
	processTimeout = 2 * time.Minute
	// versionRequests is the number of requests for /version, each over its own connection, so that a load balancer
	// forwards them to several servers.
	versionRequests = 8
	// dialTimeout ends a connection attempt without an answer; the system repeats a lost first packet after 1 s, then
	// after 3.
	dialTimeout = 10 * time.Second
	// answerTimeout is above the longest time that the service itself waits before it answers.
	answerTimeout = 40 * time.Second
	// maxBody limits an answer, in bytes; the results of the small pictures are the largest ones.
	maxBody = 8 << 20
)

// Run performs all steps once. It returns all their errors joined, or only ErrUnreachable if no connection can be
// opened. The photos that it uploads are not deleted. It may run at any time, concurrently with users and other runs.
func Run(ctx context.Context, o Options) (Report, error) {
	r := &run{Options: o, report: Report{URL: o.URL, Steps: []Step{}, Releases: map[string]int{}, Images: []string{}}}
	if r.Log == nil {
		r.Log = func(string) {}
	}
	began := time.Now()
	err := r.all(ctx)
	r.report.OK, r.report.Took = err == nil, time.Since(began).Milliseconds()
	r.report.Unreachable = errors.Is(err, ErrUnreachable)
	return r.report, err
}

// run is the state of one call of Run.
type run struct {
	Options
	base   *url.URL
	api    *client.Client
	report Report
}

func (r *run) all(ctx context.Context) error {
	var err error
	if r.base, err = address(r.URL); err != nil {
		return err
	}
	if !hexDigits.MatchString(strings.ToLower(r.Release)) {
		return fmt.Errorf("%q is not the SHA-256 of a release", r.Release)
	}
	r.report.URL = r.base.Redacted()
	r.api = newClient(r.base.String(), r.Client)
	// Without a response the other steps would fail with the same error.
	if err := r.step("answers", func() (string, error) { return r.reach(ctx) }); err != nil {
		return err
	}
	return errors.Join(
		r.step("page", func() (string, error) { return r.page(ctx) }),
		r.step("version", func() (string, error) { return r.versions(ctx) }),
		r.send(ctx, lake), r.send(ctx, phone))
}

// hexDigits matches the SHA-256 of a release, or its first digits.
var hexDigits = regexp.MustCompile(`^[0-9a-f]{0,64}$`)

// address parses the service's URL.
func address(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		u = &url.URL{Path: "this"} // it may contain a password
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is not the address of a service, such as http://localhost:8080", u.Redacted())
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

// newClient returns a client that sends every request once. A nil h means the standard HTTP client with timeouts.
func newClient(address string, h *http.Client) *client.Client {
	if h == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.DialContext = (&net.Dialer{Timeout: dialTimeout}).DialContext
		h = &http.Client{Transport: t, Timeout: answerTimeout}
	}
	c := client.New(address)
	c.HTTP, c.MaxBody = h, maxBody
	return c
}

// get requests a path.
func (r *run) get(ctx context.Context, path string) (client.Response, error) {
	// A connection of its own lets a load balancer choose another server, and a name resolve to another address.
	newConnection := func(req *http.Request) { req.Close = true }
	return r.api.Expect(ctx, http.MethodGet, path, nil, newConnection, http.StatusOK)
}

// step runs do and adds the result to the report.
func (r *run) step(name string, do func() (detail string, err error)) error {
	began := time.Now()
	detail, err := do()
	s := Step{Name: name, Detail: detail, Took: time.Since(began).Milliseconds()}
	if err != nil {
		s.Error = err.Error()
		err = fmt.Errorf("%s: %w", name, err)
	}
	r.report.Steps = append(r.report.Steps, s)
	r.Log(s.String())
	return err
}

// String returns the step as one line.
func (s Step) String() string {
	text := s.Detail
	if s.Error != "" {
		text = "FAILED: " + s.Error
	}
	return fmt.Sprintf("%-16s %6d ms  %s", s.Name, s.Took, text)
}

// page requests the page.
func (r *run) page(ctx context.Context) (string, error) {
	res, err := r.get(ctx, "/")
	if err != nil {
		return "", err
	}
	if kind := res.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/html") {
		return "", fmt.Errorf("GET / answered %s, not a page", kind)
	}
	return fmt.Sprintf("%d bytes of HTML", len(res.Body)), nil
}

// versions collects the releases that respond.
func (r *run) versions(ctx context.Context) (string, error) {
	wrong := 0
	for range versionRequests {
		res, err := r.get(ctx, "/version")
		if err != nil {
			return "", err
		}
		release := strings.TrimSpace(string(res.Body))
		if len(release) != 64 || !hexDigits.MatchString(release) {
			return "", errors.New("GET /version did not answer a SHA-256")
		}
		r.report.Releases[release]++
		if !strings.HasPrefix(release, strings.ToLower(r.Release)) {
			wrong++
		}
	}
	var seen []string
	for _, release := range slices.Sorted(maps.Keys(r.report.Releases)) {
		seen = append(seen, fmt.Sprintf("%s x%d", release[:12], r.report.Releases[release]))
	}
	detail := strings.Join(seen, ", ")
	if wrong > 0 {
		return "", fmt.Errorf("%d of %d answers came from another release than %.12s: %s",
			wrong, versionRequests, r.Release, detail)
	}
	return detail, nil
}
