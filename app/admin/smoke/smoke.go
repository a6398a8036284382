// Package smoke tests a running service as a user would: it opens the page, uploads photos, waits, and compares the
// results with the expected pixels. It needs only the service's address. It has no dependencies outside the standard
// library, because the deployer uses it, too.
package smoke

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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
	Took     Millis         `json:"milliseconds"`
}

// Step is one action of a user.
type Step struct {
	Name   string `json:"name"`
	Detail string `json:"detail,omitempty"`
	Error  string `json:"error,omitempty"` // empty if it succeeded
	Took   Millis `json:"milliseconds"`
}

// Millis is a duration that marshals as whole milliseconds.
type Millis time.Duration

// MarshalJSON implements json.Marshaler.
func (m Millis) MarshalJSON() ([]byte, error) {
	return fmt.Append(nil, time.Duration(m).Milliseconds()), nil
}

// ErrUnreachable is returned by Run when every connection timed out. A rollout treats it as a warning: the deployer
// may be outside the address ranges that may use the service.
var ErrUnreachable = errors.New("connection timed out; is this machine in allowedCidrs?")

// processTimeout limits the time to process a photo. It suffices for a fleet with one process left.
const processTimeout = 2 * time.Minute

// versionRequests is the number of requests for /version, each over its own connection, so that a load balancer
// forwards them to several servers.
const versionRequests = 8

// Run performs all steps once. It returns all their errors joined, or only ErrUnreachable if no connection can be
// opened. The photos that it uploads are not deleted. It may run at any time, concurrently with users and other runs.
func Run(ctx context.Context, o Options) (Report, error) {
	r := &run{Options: o, report: Report{URL: o.URL, Steps: []Step{}, Releases: map[string]int{}, Images: []string{}}}
	began := time.Now()
	err := r.all(ctx)
	r.report.OK, r.report.Took = err == nil, Millis(time.Since(began))
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
	if len(r.Release) > 64 || strings.Trim(strings.ToLower(r.Release), hexDigits) != "" {
		return fmt.Errorf("%q is not the SHA-256 of a release", r.Release)
	}
	r.report.URL = r.base.Redacted()
	r.api = newClient(r.base.String(), r.Client)
	// Without a response the other steps would fail with the same error.
	if err := r.step("answers", func() (string, error) { return r.reach(ctx) }); err != nil {
		return err
	}
	errs := []error{
		r.step("page", func() (string, error) { return r.page(ctx) }),
		r.step("version", func() (string, error) { return r.versions(ctx) }),
	}
	for _, p := range []picture{lake, phone} {
		errs = append(errs, r.send(ctx, p))
	}
	return errors.Join(errs...)
}

// address parses the service's URL.
func address(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is not the address of a service, such as http://localhost:8080", redacted(text))
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

// redacted returns an address without its password, as far as it can be read.
func redacted(text string) string {
	if u, err := url.Parse(text); err == nil {
		return u.Redacted()
	}
	return "this"
}

// step runs do and adds the result to the report.
func (r *run) step(name string, do func() (detail string, err error)) error {
	began := time.Now()
	detail, err := do()
	s := Step{Name: name, Detail: detail, Took: Millis(time.Since(began))}
	if err != nil {
		s.Error = err.Error()
		err = fmt.Errorf("%s: %w", name, err)
	}
	r.report.Steps = append(r.report.Steps, s)
	r.say(s.String())
	return err
}

func (r *run) say(line string) {
	if r.Log != nil {
		r.Log(line)
	}
}

// String returns the step as one line.
func (s Step) String() string {
	text := s.Detail
	if s.Error != "" {
		text = "FAILED: " + s.Error
	}
	return fmt.Sprintf("%-16s %6d ms  %s", s.Name, time.Duration(s.Took).Milliseconds(), text)
}

// page requests the page.
func (r *run) page(ctx context.Context) (string, error) {
	res, err := r.api.Expect(ctx, http.MethodGet, "/", nil, nil, http.StatusOK)
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
	for range versionRequests {
		res, err := r.api.Expect(ctx, http.MethodGet, "/version", nil, newConnection, http.StatusOK)
		if err != nil {
			return "", err
		}
		release := strings.TrimSpace(string(res.Body))
		if !isRelease(release) {
			return "", errors.New("GET /version did not answer a SHA-256")
		}
		r.report.Releases[release]++
	}
	var seen []string
	wrong := 0
	for release, n := range r.report.Releases {
		seen = append(seen, fmt.Sprintf("%s x%d", release[:12], n))
		if r.Release != "" && !strings.HasPrefix(release, strings.ToLower(r.Release)) {
			wrong += n
		}
	}
	slices.Sort(seen)
	detail := strings.Join(seen, ", ")
	if wrong > 0 {
		return "", fmt.Errorf("%d of %d answers came from another release than %.12s: %s",
			wrong, versionRequests, r.Release, detail)
	}
	return detail, nil
}

const hexDigits = "0123456789abcdef"

func isRelease(s string) bool { return len(s) == 64 && strings.Trim(s, hexDigits) == "" }
