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
	longestWait = 20 * time.Second // below the idle timeout of every load balancer; more counts as this much
	maxWaiting  = 500              // requests of this process; the others are answered at once
	// askAgain is after how many seconds a client that was answered too early may ask again.
	askAgain = "2"
	// Polling, for no backend tells us of changes; a quarter of a second is nothing beside a photo's second.
	readEvery = 250 * time.Millisecond
)

// wish is what a request waits for: another version than the one it knows, or a final state.
type wish struct {
	wait    time.Duration
	version int64 // -1: the version at arrival
}

// parseWish reads the query of a waiting request.
func parseWish(query url.Values) (wish, error) {
	w := wish{version: -1}
	d, err := time.ParseDuration(query.Get("wait"))
	if err != nil || d < 0 {
		return w, errBadWait
	}
	w.wait = min(d, longestWait)
	if query.Has("version") {
		if w.version, err = strconv.ParseInt(query.Get("version"), 10, 64); err != nil || w.version < 0 {
			return w, errBadWait
		}
	}
	return w, nil
}

// waits lets many requests wait for images without many reads of the catalog: each image that is waited for
// has one reader, which stops with the last request that waits for it.
type waits struct {
	read     func(ctx context.Context, id string) (imagery.Image, error)
	stopping <-chan struct{}
	most     int // requests that may wait

	mu      sync.Mutex
	waiting int
	watches map[string]*watch
}

func newWaits(read func(context.Context, string) (imagery.Image, error), stopping <-chan struct{}, most int) *waits {
	return &waits{read: read, stopping: stopping, most: most, watches: map[string]*watch{}}
}

// watch is one image that is waited for, with the newest read of it. Guarded by waits.mu.
type watch struct {
	waiting int
	stop    context.CancelFunc
	begun   int // reads begun
	look
}

// look is what a watch has seen.
type look struct {
	read int // the number of this read; 0 before the first
	img  imagery.Image
	err  error
	next chan struct{} // closed when there is a newer look
}

// wait returns the image when the wish has come true, its time is over, or the server stops; at once when
// too many wait already. early reports whether it came too soon: the client should not ask again at once.
//
// Every answer comes from a read that began after the request arrived: an older one might not know yet what
// this client has just done.
func (ws *waits) wait(ctx context.Context, id string, w wish) (img imagery.Image, early bool, err error) {
	watch, before := ws.join(id)
	if watch == nil {
		img, err = ws.read(ctx, id)
		return img, true, err
	}
	defer ws.leave(id, watch)
	over := time.NewTimer(w.wait)
	defer over.Stop()
	for {
		now := ws.see(watch)
		var enough <-chan time.Time
		var stopping <-chan struct{}
		if now.read > before {
			if w.version < 0 {
				w.version = now.img.Version
			}
			if now.err != nil || now.img.State.Final() || now.img.Version != w.version {
				return now.img, false, now.err
			}
			enough, stopping = over.C, ws.stopping
		}
		select {
		case <-now.next:
		case <-enough:
			return now.img, false, nil
		case <-stopping:
			return now.img, true, nil
		case <-ctx.Done():
			return imagery.Image{}, false, ctx.Err()
		}
	}
}

// join adds a request to those that wait for the image; before is the number of the newest read that may have
// begun earlier. There is no watch for more than most requests.
func (ws *waits) join(id string) (w *watch, before int) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.waiting >= ws.most {
		return nil, 0
	}
	w = ws.watches[id]
	if w == nil {
		ctx, stop := context.WithCancel(context.Background()) // not of the request: others may join
		w = &watch{stop: stop, look: look{next: make(chan struct{})}}
		ws.watches[id] = w
		go ws.follow(ctx, id, w)
	}
	ws.waiting++
	w.waiting++
	return w, w.begun
}

// leave ends what join began; with the last request the reader stops.
func (ws *waits) leave(id string, w *watch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.waiting--
	if w.waiting--; w.waiting == 0 {
		delete(ws.watches, id)
		w.stop()
	}
}

// see returns the newest look at the image.
func (ws *waits) see(w *watch) look {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return w.look
}

// follow reads the image again and again for all who wait for it.
// An error goes to all of them, as it would if each had asked alone; clients ask again anyway.
func (ws *waits) follow(ctx context.Context, id string, w *watch) {
	pace := time.NewTicker(readEvery)
	defer pace.Stop()
	for ctx.Err() == nil {
		ws.mu.Lock()
		w.begun++
		ws.mu.Unlock()

		img, err := ws.read(ctx, id)

		ws.mu.Lock()
		close(w.next)
		w.look = look{w.begun, img, err, make(chan struct{})}
		ws.mu.Unlock()
		select {
		case <-pace.C:
		case <-ctx.Done():
		}
	}
}
