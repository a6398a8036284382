// Package smoke does what a user does, against a service that runs somewhere: it opens the page, sends photos,
// waits, and compares the results with the pixels that they must have. It knows nothing but the address. It
// needs the standard library only, because the deployer uses it, too.
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

// Options say what is tried. Only URL is needed.
type Options struct {
	URL string // of the service, such as http://localhost:8080; a path in it is kept
	// Wait is how long a name that does not resolve yet, a closed door, or a balancer without a server is waited
	// for. Nothing else is ever repeated. 0: one attempt.
	Wait time.Duration
	// Release is the SHA-256 that every answer of /version must have, 64 hex digits or the first ones; empty: any.
	// The report has them all.
	Release string
	// Client replaces the standard one; its transport must end a dial that nobody answers.
	Client *http.Client
	// Log gets one line per finished step, and the reason of each wait when it changes. It may be nil.
	Log func(string)
}

// Report is what happened, also when Run returns an error.
type Report struct {
	URL   string `json:"url"`
	OK    bool   `json:"ok"`
	Steps []Step `json:"steps"`
	// Unreachable reports that no connection could be opened, as behind a firewall that drops this machine's packets. The
	// service itself may be healthy.
	Unreachable bool `json:"unreachable"`
	// Releases counts the answers of /version by release.
	Releases map[string]int `json:"releases"`
	Images   []string       `json:"images"` // ids that were made; they stay, see Run
	Took     Millis         `json:"milliseconds"`
}

// Step is one thing that a user does.
type Step struct {
	Name   string `json:"name"`
	Detail string `json:"detail,omitempty"`
	Error  string `json:"error,omitempty"` // empty: it worked
	Took   Millis `json:"milliseconds"`
}

// Millis is a duration that is written as whole milliseconds.
type Millis time.Duration

// MarshalJSON implements json.Marshaler.
func (m Millis) MarshalJSON() ([]byte, error) {
	return fmt.Append(nil, time.Duration(m).Milliseconds()), nil
}

// ErrUnreachable is returned by Run when every connection timed out. A rollout treats it as a warning: the deployer
// may be outside the address ranges that may use the service.
var ErrUnreachable = errors.New("connection timed out; is this machine in allowedCidrs?")

// processTimeout is how long a photo may take. A fleet that lost every process but one still meets it.
const processTimeout = 2 * time.Minute

// versionAnswers is how many answers of /version are looked at, each over a connection of its own, so that a
// balancer shows more than one server.
const versionAnswers = 8

// Run tries everything once. Its error says what is wrong, all of it, and is ErrUnreachable behind a closed door. The
// photos that it sends stay until the bucket's lifecycle removes them: there is no request that deletes.
// It may run at any time, beside users and beside other runs.
func Run(ctx context.Context, o Options) (Report, error) {
	r := &run{Options: o, report: Report{URL: o.URL, Steps: []Step{}, Releases: map[string]int{}, Images: []string{}}}
	began := time.Now()
	err := r.all(ctx)
	r.report.OK, r.report.Took = err == nil, Millis(time.Since(began))
	r.report.Unreachable = errors.Is(err, ErrUnreachable)
	return r.report, err
}

// run is one run.
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
	// Without an answer there is nothing to try.
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

// address reads the service's URL.
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

// step does one thing and reports it.
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

// String is the step on one line.
func (s Step) String() string {
	text := s.Detail
	if s.Error != "" {
		text = "FAILED: " + s.Error
	}
	return fmt.Sprintf("%-16s %6d ms  %s", s.Name, time.Duration(s.Took).Milliseconds(), text)
}

// page opens what a browser opens.
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

// versions asks which releases answer.
func (r *run) versions(ctx context.Context) (string, error) {
	for range versionAnswers {
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
		return "", fmt.Errorf("%d of %d answers came from another release than %.12s: %s", wrong, versionAnswers, r.Release, detail)
	}
	return detail, nil
}

const hexDigits = "0123456789abcdef"

func isRelease(s string) bool { return len(s) == 64 && strings.Trim(s, hexDigits) == "" }
