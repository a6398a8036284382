package fleet

import (
	"context"
	"net/http"
	"time"
)

const (
	// probeEvery must be shorter than the time for which a stopping server still accepts connections after its
	// /readyz has started to fail: a request that reaches a closing listener is neither answered nor safe to resend.
	probeEvery = 500 * time.Millisecond
	// probeTimeout is long, because a server on a busy laptop is slow but ready.
	probeTimeout = 2 * time.Second
)

var prober = &http.Client{Timeout: probeTimeout, Transport: &http.Transport{DisableKeepAlives: true}}

// probe requests /readyz every probeEvery until the process has ended. Each probe opens a new connection, so it also
// shows whether the process still accepts connections.
func (c *child) probe(alive context.Context, addr string) {
	for {
		up, ready := ask(alive, addr)
		if alive.Err() != nil {
			return
		}
		c.pool.setProbed(c.target, addr, up, ready)
		select {
		case <-time.After(probeEvery):
		case <-alive.Done():
			return
		}
	}
}

// ask reports whether addr accepts connections, and whether /readyz answers 200. A frozen process is up, because the
// kernel accepts connections for it.
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
