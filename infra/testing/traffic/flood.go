package traffic

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Flood fills the log of one server with requests for an image that does not exist, past the load balancer.
type Flood struct {
	stop chan struct{}
	all  sync.WaitGroup

	answered, failed atomic.Int64
}

// floodPath has a valid id that no image has.
const floodPath = "/image/00000000-0000-4000-8000-00000000f100"

// StartFlood sends perMinute requests a minute to a host and port.
func StartFlood(address string, perMinute int) *Flood {
	f := &Flood{stop: make(chan struct{})}
	work := make(chan struct{})
	f.all.Go(func() {
		defer close(work)
		begun := time.Now()
		for n := 0; ; n++ { // paced by the clock: after a stall the missed requests are sent at once
			select {
			case <-f.stop:
				return
			case <-time.After(time.Until(begun.Add(time.Duration(n) * time.Minute / time.Duration(perMinute)))):
				work <- struct{}{}
			}
		}
	})
	connect(&f.all, address, connections, work, func(c *conn, _ struct{}) {
		if code, _, err := c.do(request(http.MethodGet, floodPath, nil)); err == nil && code == http.StatusNotFound {
			f.answered.Add(1)
		} else {
			f.failed.Add(1)
		}
	})
	return f
}

// Stop ends the flood when the requests in flight were answered. It returns the number of requests that had the
// expected answer, and of the others.
func (f *Flood) Stop() (answered, failed int) {
	close(f.stop)
	f.all.Wait()
	return int(f.answered.Load()), int(f.failed.Load())
}
