package worker_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"imagery/app/budget"
	"imagery/app/imagery"
	"imagery/app/testing/memory"
	"imagery/app/worker"
)

// world is a worker with in-memory stores. Inside synctest its clock is virtual: minutes take no time.
type world struct {
	*imagery.Service
	catalog *memory.Catalog
	blobs   *memory.Blobs
	queue   *memory.Queue
	dead    *memory.Queue
	filter  filter
	down    atomic.Bool // table and bucket do not answer
	stop    context.CancelFunc
	ended   chan error
}

// filter is an imagery.Filter that sleeps.
type filter struct {
	takes   time.Duration
	running atomic.Int32
	most    atomic.Int32 // the most that ran at once
	applied atomic.Int32
	peak    int64
	peaks   map[string]int64 // of single photos, by their bytes
	on      func(raw []byte) error
}

func (f *filter) Inspect(raw []byte) (imagery.Cost, error) {
	c := imagery.Cost{Memory: f.peak, Size: int64(len(raw))}
	if peak, ok := f.peaks[string(raw)]; ok {
		c.Memory = peak
	}
	if strings.HasPrefix(string(raw), "expensive") {
		c.Work = 1 << 40
	}
	return c, nil
}

func (f *filter) Apply(ctx context.Context, raw []byte) (imagery.Result, error) {
	n := f.running.Add(1)
	defer f.running.Add(-1)
	f.applied.Add(1)
	for m := f.most.Load(); n > m && !f.most.CompareAndSwap(m, n); m = f.most.Load() {
	}
	select {
	case <-time.After(f.takes):
	case <-ctx.Done():
		return imagery.Result{}, ctx.Err()
	}
	if f.on != nil {
		if err := f.on(raw); err != nil {
			return imagery.Result{}, err
		}
	}
	return imagery.Result{Body: bytes.NewReader(raw), Ext: "jpg", ContentType: "image/jpeg"}, nil
}

const visibility = 30 * time.Second

func newWorld() *world {
	w := &world{catalog: &memory.Catalog{}, blobs: &memory.Blobs{}}
	w.queue, w.dead = memory.NewQueue(imagery.Limits{Visibility: visibility, MaxReceives: 5})
	w.filter.takes = time.Second
	w.Service = &imagery.Service{Catalog: w.catalog, Blobs: w.blobs, Queue: w.queue, DeadLetters: w.dead,
		Filter: &w.filter, Now: time.Now, UploadLife: 24 * time.Hour, ResendAfter: time.Hour}
	return w
}

func (w *world) options() worker.Options {
	return worker.Options{Service: w.Service, Queue: w.queue, Memory: budget.NewPool(100), Slots: 2,
		Outage: 10 * time.Minute, ReconcileEvery: time.Minute,
		Probe: func(context.Context) error {
			if w.down.Load() {
				return errors.New("unavailable")
			}
			return nil
		}, Consume: true, Release: strings.Repeat("ab", 32), Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// start runs a worker until stopped. Its listener is never connected to.
func (w *world) start(change func(*worker.Options)) {
	ctx, stop := context.WithCancel(context.Background())
	w.stop, w.ended = stop, make(chan error, 1)
	o := w.options()
	if change != nil {
		change(&o)
	}
	go func() { w.ended <- worker.New(o).Run(ctx, newIdleListener()) }()
}

func (w *world) end(t *testing.T) {
	t.Helper()
	w.stop()
	if err := <-w.ended; err != nil {
		t.Error(err)
	}
}

// idleListener accepts no connection. A real socket would keep the virtual clock from advancing.
type idleListener struct {
	once   sync.Once
	closed chan struct{}
}

func newIdleListener() *idleListener { return &idleListener{closed: make(chan struct{})} }

func (l *idleListener) Accept() (net.Conn, error) { <-l.closed; return nil, net.ErrClosed }

func (l *idleListener) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

func (l *idleListener) Addr() net.Addr { return &net.TCPAddr{} }

func (w *world) upload(t *testing.T, body string) string {
	t.Helper()
	img, _, err := w.Create(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(body))
	_, hintErr, err := w.Accept(t.Context(), imagery.Upload{ID: img.ID, Hash: hex.EncodeToString(sum[:]),
		Body: bytes.NewReader([]byte(body)), Size: int64(len(body))})
	if err := errors.Join(hintErr, err); err != nil {
		t.Fatal(err)
	}
	return img.ID
}

func (w *world) state(t *testing.T, id string) imagery.State {
	t.Helper()
	img, err := w.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return img.State
}
