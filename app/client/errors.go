package client

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// StatusError is returned for an answer with another status than the expected one.
type StatusError struct {
	Request string // method and path
	Status  int
	Message string // what the service, or S3, says about it; empty if that is not known
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s answered %d %s", e.Request, e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// Status returns the status of a *StatusError in err's tree, or 0.
func Status(err error) int {
	if s := (*StatusError)(nil); errors.As(err, &s) {
		return s.Status
	}
	return 0
}

// Temporary reports whether the same request may succeed at another attempt: without an answer, and after 408, 429,
// 5xx.
func Temporary(err error) bool {
	status := Status(err)
	return status == 0 || status >= 500 || status == http.StatusRequestTimeout || status == http.StatusTooManyRequests
}

// withoutURL replaces the URL in an error of net/http by its host. The URL of a result is signed, and everybody who has
// it can read the result.
func withoutURL(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		if at, parsed := url.Parse(u.URL); parsed == nil && at.Host != "" {
			return fmt.Errorf("%s: %w", at.Host, u.Err)
		}
		return u.Err
	}
	return err
}

// message returns the reason that an error answer of the service or of S3 gives. Other texts are not repeated, because
// they may contain anything.
func message(body []byte) string {
	var problem struct{ Detail, RequestID string }
	if json.Unmarshal(body, &problem) == nil && problem.Detail != "" {
		text := Printable(problem.Detail)
		if problem.RequestID != "" {
			text += " (request " + Printable(problem.RequestID) + ")"
		}
		return text
	}
	var s3 struct{ Code, Message string }
	if xml.Unmarshal(body, &s3) == nil && s3.Code != "" {
		return Printable(s3.Code + ": " + s3.Message)
	}
	return ""
}

// Printable replaces the control characters of a text from another machine, so that it stays on one line of a terminal.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}
