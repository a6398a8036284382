package doctor

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"imagery/app/client"
)

// service checks which release the running service has, and whether it is ready.
func (c Cloud) service(ctx context.Context, r *report) {
	release, res, err := version(ctx, c.URL)
	if err != nil {
		r.warn(c.URL+" does not answer from here: "+err.Error(),
			"no server is running, or imagery:allowedCidrs excludes this machine",
			"imagery status; pulumi config get imagery:allowedCidrs")
		return
	}
	if date, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		r.skew("the service", time.Until(date))
	}
	switch {
	case release == "":
		r.wrong(fmt.Sprintf("%s/version answers %d and no release", c.URL, res.Status),
			"another program answers there, or no server is in service", "imagery status")
	case c.Release != "" && release != c.Release:
		r.warn(fmt.Sprintf("a server runs release %.12s, the stack deployed %.12s", release, c.Release),
			"a rollout is in progress, or was rolled back", "imagery status")
	default:
		r.ok("release %.12s answers at %s", release, c.URL)
	}
	ready, err := get(ctx, c.URL, "/readyz")
	if err != nil {
		r.warn(c.URL+": "+err.Error(), "the request before this one succeeded", "run again: imagery doctor")
	} else if release != "" && ready.Status != http.StatusOK {
		r.wrong(fmt.Sprintf("/readyz answers %d", ready.Status), "a server cannot reach its table, bucket or queue",
			"imagery status, then read the servers' logs: docs/runbook.md#server-errors")
	}
}

var releasePattern = regexp.MustCompile(`^[0-9a-f]{64}\n?$`)

// version requests the release of a service; it is empty if another program answers.
func version(ctx context.Context, base string) (release string, res client.Response, err error) {
	res, err = get(ctx, base, "/version")
	if err == nil && res.Status == http.StatusOK && releasePattern.Match(res.Body) {
		release = strings.TrimSpace(string(res.Body))
	}
	return release, res, err
}

// httpClient follows no redirects, since another service could answer there.
var httpClient = &http.Client{Timeout: callTimeout, CheckRedirect: func(*http.Request, []*http.Request) error {
	return http.ErrUseLastResponse
}}

func get(ctx context.Context, base, path string) (client.Response, error) {
	c := client.New(strings.TrimSuffix(base, "/"))
	c.HTTP, c.MaxBody = httpClient, 1<<20
	return c.Do(ctx, http.MethodGet, path, nil, nil)
}
