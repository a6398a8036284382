package doctor

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

var hash = regexp.MustCompile(`^[0-9a-f]{64}\n?$`)

// client follows no redirect: who asks for /version wants this service's answer.
var client = http.Client{Timeout: callBound, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func get(ctx context.Context, at string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(r)
	if failure := (*url.Error)(nil); errors.As(err, &failure) {
		return nil, failure.Err // without the URL, which the finding has
	}
	return answer, err
}

// version asks a service for its release; it is empty when something else answers.
func version(ctx context.Context, base string) (release string, answer *http.Response, err error) {
	if answer, err = get(ctx, strings.TrimSuffix(base, "/")+"/version"); err != nil {
		return "", nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 100))
	if err != nil {
		return "", nil, err
	}
	if answer.StatusCode == http.StatusOK && hash.Match(body) {
		release = strings.TrimSpace(string(body))
	}
	return release, answer, nil
}
