package fleet

import (
	"context"
	"net/http"
	"time"
)

const (
	// probeEvery must stay below the time for which a stopping server still accepts after its /readyz began to
	// fail: what is sent to a listener that closes can neither be answered nor repeated.
	probeEvery = 500 * time.Millisecond
	// probeTimeout is long: a busy laptop is no reason to call a server unready.
	probeTimeout = 2 * time.Second
)

var prober = &http.Client{Timeout: probeTimeout, Transport: &http.Transport{DisableKeepAlives: true}}

// probe asks for readiness until the process has ended. Each time it opens a connection of its own, so it also
// finds out whether the process still accepts any.
func (c *child) probe(alive context.Context, addr string) {
	for {
		up, ready := ask(alive, addr)
		if alive.Err() != nil {
			return
		}
		c.pool.probed(c.target, addr, up, ready)
		select {
		case <-time.After(probeEvery):
		case <-alive.Done():
			return
		}
	}
}

// ask reports whether addr accepts connections, and whether /readyz says 200 there. A process that is frozen
// is up: the kernel accepts for it.
func ask(ctx context.Context, addr string) (up, ready bool) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		return false, false
	}
	res, err := prober.Do(req)
	if err != nil {
		return !isDialError(err), false
	}
	res.Body.Close()
	return true, res.StatusCode == http.StatusOK
}
