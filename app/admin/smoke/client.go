package smoke

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// dialBound ends a connection that nobody answers; a lost first packet is repeated by the system after 1 s,
	// then after 3.
	dialBound = 10 * time.Second
	// answerBound is above the longest that the service itself waits before it answers.
	answerBound = 40 * time.Second
	// mostAnswer bounds, in bytes, what is read of an answer that is no picture.
	mostAnswer = 1 << 20
)

// newClient is the standard client, but for its bounds.
func newClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: dialBound}).DialContext
	return &http.Client{Transport: t, Timeout: answerBound}
}

// answer is what came back.
type answer struct {
	asked  string // the request, for messages; without the query, which may be a signature
	from   *url.URL
	status int
	header http.Header
	body   []byte
}

// get asks for a path below the address.
func (r *run) get(ctx context.Context, path string, most int64, with ...func(*http.Request)) (answer, error) {
	return r.do(ctx, http.MethodGet, path, nil, most, with...)
}

// do sends one request, once.
func (r *run) do(ctx context.Context, method, path string, body io.Reader, most int64, with ...func(*http.Request)) (a answer, err error) {
	bare, _, _ := strings.Cut(path, "?")
	a.asked = method + " " + bare
	req, err := http.NewRequestWithContext(ctx, method, r.base.String()+path, body)
	if err != nil {
		return a, fmt.Errorf("%s: %w", a.asked, plain(err))
	}
	for _, change := range with {
		change(req)
	}
	res, err := r.client.Do(req)
	if err != nil {
		return a, fmt.Errorf("%s: %w", a.asked, plain(err))
	}
	defer func() { _ = res.Body.Close() }() // what matters of it was read
	a.from, a.status, a.header = res.Request.URL, res.StatusCode, res.Header
	if a.body, err = io.ReadAll(io.LimitReader(res.Body, most+1)); err != nil {
		return a, fmt.Errorf("%s: read the answer: %w", a.asked, plain(err))
	}
	if int64(len(a.body)) > most {
		return a, fmt.Errorf("%s: the answer has more than %d bytes", a.asked, most)
	}
	return a, nil
}

// plain drops the URL that net/http puts into its errors: that of a result is signed, and whoever has it may read
// the result.
func plain(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		if at, parsed := url.Parse(u.URL); parsed == nil && at.Host != "" {
			return fmt.Errorf("%s: %w", at.Host, u.Err)
		}
		return u.Err
	}
	return err
}

// redacted is an address without a password, as far as it can be read.
func redacted(text string) string {
	if u, err := url.Parse(text); err == nil {
		return u.Redacted()
	}
	return "this"
}

// want is the error of another status than these.
func (a answer) want(status ...int) error {
	for _, s := range status {
		if a.status == s {
			return nil
		}
	}
	return &refusal{a.asked, a.status, a.reason()}
}

// refusal is an answer that says no.
type refusal struct {
	asked  string
	status int
	reason string
}

func (e *refusal) Error() string {
	return strings.TrimSuffix(fmt.Sprintf("%s answered %d %s: %s", e.asked, e.status, http.StatusText(e.status), e.reason), ": ")
}

// reason is what the service, or S3, says about a refusal. Other texts are not repeated: nobody knows what is in
// them.
func (a answer) reason() string {
	var problem struct{ Detail, RequestID string }
	if json.Unmarshal(a.body, &problem) == nil && problem.Detail != "" {
		return fmt.Sprintf("%s (request %s)", printable(problem.Detail), printable(problem.RequestID))
	}
	var s3 struct{ Code, Message string }
	if xml.Unmarshal(a.body, &s3) == nil && s3.Code != "" {
		return printable(s3.Code + ": " + s3.Message)
	}
	return ""
}

// printable keeps a text from another machine on one line of a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}
