package server

import (
	"context"
	"net/url"
	"strconv"
	"sync"
	"time"

	"imagery/app/imagery"
)

const (
	maxWait = 20 * time.Second // of one long poll, below the idle timeout of common load balancers; more is cut to this
	// maxLongPolls is the largest number of long polls in this process; above it requests are answered at once.
	maxLongPolls = 500
	// longPollRetryAfter is the Retry-After, in seconds, of a long poll that was answered early.
	longPollRetryAfter = "2"
	// pollInterval is the interval between two reads of a watched image. The stores offer no change notifications.
	pollInterval = 250 * time.Millisecond
)

// waitParams are the parameters of a long poll: return when the version differs or the state is final.
type waitParams struct {
	wait    time.Duration
	version int64 // -1: the version at arrival
}

// parseWaitParams reads the parameters wait and version of a query. It returns errBadWait if one is invalid.
func parseWaitParams(query url.Values) (waitParams, error) {
	p := waitParams{version: -1}
	d, err := time.ParseDuration(query.Get("wait"))
	if err != nil || d < 0 {
		return p, errBadWait
	}
	p.wait = min(d, maxWait)
	if query.Has("version") {
		if p.version, err = strconv.ParseInt(query.Get("version"), 10, 64); err != nil || p.version < 0 {
			return p, errBadWait
		}
	}
	return p, nil
}

// longPoller serves long polls. All requests that wait for the same image share its reads.
type longPoller struct {
	read     func(ctx context.Context, id string) (imagery.Image, error)
	stopping <-chan struct{}
	limit    int // requests that may wait

	mu      sync.Mutex
	waiting int
	watches map[string]*watch // by image id
}

// watch is one image that requests wait for. Guarded by longPoller.mu.
type watch struct {
	waiting int
	last    *snapshot
}

// snapshot is one read of an image.
type snapshot struct {
	at   time.Time     // when the read starts
	done chan struct{} // closed when the fields below are set
	img  imagery.Image
	err  error
}

// wait returns the image when it satisfies params, its time is over, or the server stops; at once if the limit of
// long polls is reached. early reports the last two cases, in which the client should pause before it asks again.
//
// The result is always from a read that started after the request arrived, so that clients see their own writes. An
// error is returned to all requests that wait; clients retry.
func (lp *longPoller) wait(
	ctx context.Context, id string, params waitParams,
) (img imagery.Image, early bool, err error) {
	w := lp.subscribe(id)
	if w == nil {
		img, err = lp.read(ctx, id)
		return img, true, err
	}
	defer lp.unsubscribe(id, w)
	timeout := time.NewTimer(params.wait)
	defer timeout.Stop()
	var timedOut <-chan time.Time // nil before the first read
	var stopping <-chan struct{}
	for at := time.Now(); ; {
		next := lp.snapshot(w, id, at)
		select {
		case <-next.done:
		case <-timedOut:
			return img, false, nil
		case <-stopping:
			return img, true, nil
		case <-ctx.Done():
			return imagery.Image{}, false, ctx.Err()
		}
		img = next.img
		if params.version < 0 {
			params.version = img.Version
		}
		if next.err != nil || img.State.Final() || img.Version != params.version {
			return img, false, next.err
		}
		timedOut, stopping, at = timeout.C, lp.stopping, next.at.Add(pollInterval)
	}
}

// subscribe adds a request to the watch of an image. It returns nil if the limit of long polls is reached.
func (lp *longPoller) subscribe(id string) *watch {
	lp.mu.Lock()
	defer lp.mu.Unlock()
	if lp.waiting >= lp.limit {
		return nil
	}
	w := lp.watches[id]
	if w == nil {
		w = &watch{}
		lp.watches[id] = w
	}
	lp.waiting++
	w.waiting++
	return w
}

// unsubscribe reverts subscribe.
func (lp *longPoller) unsubscribe(id string, w *watch) {
	lp.mu.Lock()
	defer lp.mu.Unlock()
	lp.waiting--
	if w.waiting--; w.waiting == 0 {
		delete(lp.watches, id)
	}
}

// snapshot returns the next read that starts at the given time or later, pollInterval after the one before.
func (lp *longPoller) snapshot(w *watch, id string, at time.Time) *snapshot {
	lp.mu.Lock()
	defer lp.mu.Unlock()
	if w.last != nil && !w.last.at.Before(at) {
		return w.last
	}
	if w.last != nil && w.last.at.Add(pollInterval).After(at) {
		at = w.last.at.Add(pollInterval)
	}
	next := &snapshot{at: at, done: make(chan struct{})}
	w.last = next
	time.AfterFunc(time.Until(at), func() {
		defer close(next.done)
		lp.mu.Lock()
		abandoned := w.waiting == 0
		lp.mu.Unlock()
		if !abandoned {
			next.img, next.err = lp.read(context.Background(), id) // not the context of one of the requests
		}
	})
	return next
}
