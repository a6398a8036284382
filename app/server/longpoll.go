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

// longPoller serves long polls. All requests that wait for the same image share one goroutine that reads it, which
// stops with the last of these requests.
type longPoller struct {
	read     func(ctx context.Context, id string) (imagery.Image, error)
	stopping <-chan struct{}
	limit    int // requests that may wait

	mu      sync.Mutex
	waiting int
	watches map[string]*watch // by image id
}

// watch is one image that requests wait for, with its latest snapshot. Guarded by longPoller.mu.
type watch struct {
	waiting int
	stop    context.CancelFunc
	started int // number of reads started
	snapshot
}

// snapshot is the result of one read of an image.
type snapshot struct {
	read int // number of this read; 0 before the first
	img  imagery.Image
	err  error
	next chan struct{} // closed when there is a newer snapshot
}

// wait returns the image when it satisfies params, its time is over, or the server stops; at once if the limit of
// long polls is reached. early reports the last two cases, in which the client should pause before it asks again.
//
// The result is always from a read that started after the request arrived, so that clients see their own writes.
func (lp *longPoller) wait(
	ctx context.Context, id string, params waitParams,
) (img imagery.Image, early bool, err error) {
	w, before := lp.subscribe(id)
	if w == nil {
		img, err = lp.read(ctx, id)
		return img, true, err
	}
	defer lp.unsubscribe(id, w)
	timeout := time.NewTimer(params.wait)
	defer timeout.Stop()
	for {
		lp.mu.Lock()
		now := w.snapshot
		lp.mu.Unlock()
		var timedOut <-chan time.Time
		var stopping <-chan struct{}
		if now.read > before {
			if params.version < 0 {
				params.version = now.img.Version
			}
			if now.err != nil || now.img.State.Final() || now.img.Version != params.version {
				return now.img, false, now.err
			}
			timedOut, stopping = timeout.C, lp.stopping
		}
		select {
		case <-now.next:
		case <-timedOut:
			return now.img, false, nil
		case <-stopping:
			return now.img, true, nil
		case <-ctx.Done():
			return imagery.Image{}, false, ctx.Err()
		}
	}
}

// subscribe adds a request to the watch of an image. Reads up to number before may have started earlier than the
// request. It returns nil if the limit of long polls is reached.
func (lp *longPoller) subscribe(id string) (w *watch, before int) {
	lp.mu.Lock()
	defer lp.mu.Unlock()
	if lp.waiting >= lp.limit {
		return nil, 0
	}
	w = lp.watches[id]
	if w == nil {
		ctx, stop := context.WithCancel(context.Background()) // not the request's, since others may subscribe
		w = &watch{stop: stop, snapshot: snapshot{next: make(chan struct{})}}
		lp.watches[id] = w
		go lp.poll(ctx, id, w)
	}
	lp.waiting++
	w.waiting++
	return w, w.started
}

// unsubscribe reverts subscribe. It stops the watch with its last request.
func (lp *longPoller) unsubscribe(id string, w *watch) {
	lp.mu.Lock()
	defer lp.mu.Unlock()
	lp.waiting--
	if w.waiting--; w.waiting == 0 {
		delete(lp.watches, id)
		w.stop()
	}
}

// poll reads the image every pollInterval until ctx ends. An error is returned to all requests that wait; clients
// retry.
func (lp *longPoller) poll(ctx context.Context, id string, w *watch) {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		lp.mu.Lock()
		w.started++
		lp.mu.Unlock()

		img, err := lp.read(ctx, id)

		lp.mu.Lock()
		close(w.next)
		w.snapshot = snapshot{w.started, img, err, make(chan struct{})}
		lp.mu.Unlock()
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}
