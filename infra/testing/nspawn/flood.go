package nspawn

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Flood sends requests past the balancer to one server, on connections that stay, until Stop. It asks for an image that
// does not exist: what is flooded is the log.
type Flood struct {
	stop chan struct{}
	all  sync.WaitGroup

	answered, failed atomic.Int64
}

// floodID is a valid id that no image has.
const floodID = "00000000-0000-4000-8000-00000000f100"

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
	for range connections {
		f.all.Go(func() {
			c := &conn{address: address}
			defer c.close()
			for range work {
				r, err := http.NewRequest(http.MethodGet, "http://imagery/image/"+floodID, nil)
				if err == nil {
					var code int
					if code, _, err = c.do(r); err == nil && code == http.StatusNotFound {
						f.answered.Add(1)
						continue
					}
				}
				f.failed.Add(1)
			}
		})
	}
	return f
}

// Counts returns how many requests were answered as they should be and how many were not.
func (f *Flood) Counts() (answered, failed int) { return int(f.answered.Load()), int(f.failed.Load()) }

// Stop ends the flood when what is under way was answered.
func (f *Flood) Stop() {
	close(f.stop)
	f.all.Wait()
}
