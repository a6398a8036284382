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

// prober opens a new connection for each probe, so that a probe also shows whether the process accepts connections.
var prober = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// get requests a path of a child and returns the status.
func get(ctx context.Context, addr, path string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return 0, err
	}
	res, err := prober.Do(req)
	if err != nil {
		return 0, err
	}
	res.Body.Close()
	return res.StatusCode, nil
}

// probe requests /readyz every probeEvery until the process has ended. A frozen process is up, because the kernel
// accepts connections for it.
func (c *child) probe(alive context.Context, addr string) {
	for {
		ctx, cancel := context.WithTimeout(alive, probeTimeout)
		status, err := get(ctx, addr, "/readyz")
		cancel()
		if alive.Err() != nil {
			return
		}
		c.pool.setProbed(c.target, addr, !isDialError(err), status == http.StatusOK)
		select {
		case <-time.After(probeEvery):
		case <-alive.Done():
			return
		}
	}
}
