package conformance

import (
	"context"
	"io"
	"time"

	"imagery/app/imagery"
)

// Faults has hooks around every call of a port; op is the name of the method. If Before returns an error, the call is
// not made and returns that error. If After returns an error, the call was made but returns that error. Nil hooks do
// nothing. The hooks must be safe for concurrent use.
type Faults struct {
	Before, After func(op string) error
}

// around runs a call between the hooks.
func around[T any](f Faults, op string, call func() (T, error)) (v T, err error) {
	var none T
	if f.Before != nil {
		if err := f.Before(op); err != nil {
			return none, err
		}
	}
	if v, err = call(); err != nil || f.After == nil {
		return v, err
	}
	if err := f.After(op); err != nil {
		return none, err
	}
	return v, nil
}

// act is around for calls that return only an error.
func (f Faults) act(op string, call func() error) error {
	_, err := around(f, op, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

// FaultyCatalog is a catalog with injected faults.
type FaultyCatalog struct {
	Faults
	Catalog imagery.Catalog
}

// Create implements imagery.Catalog.
func (c FaultyCatalog) Create(ctx context.Context, img imagery.Image, now time.Time) error {
	return c.act("Create", func() error { return c.Catalog.Create(ctx, img, now) })
}

// Get implements imagery.Catalog.
func (c FaultyCatalog) Get(ctx context.Context, id string) (imagery.Image, error) {
	return around(c.Faults, "Get", func() (imagery.Image, error) { return c.Catalog.Get(ctx, id) })
}

// Move implements imagery.Catalog.
func (c FaultyCatalog) Move(ctx context.Context, from, to imagery.Image) error {
	return c.act("Move", func() error { return c.Catalog.Move(ctx, from, to) })
}

// Touch implements imagery.Catalog.
func (c FaultyCatalog) Touch(ctx context.Context, img imagery.Image, hinted time.Time) error {
	return c.act("Touch", func() error { return c.Catalog.Touch(ctx, img, hinted) })
}

// Pending implements imagery.Catalog.
func (c FaultyCatalog) Pending(
	ctx context.Context, shard string, from, to time.Time, after string, limit int,
) (list []imagery.Pending, next string, err error) {
	list, err = around(c.Faults, "Pending", func() (l []imagery.Pending, err error) {
		l, next, err = c.Catalog.Pending(ctx, shard, from, to, after, limit)
		return l, err
	})
	return list, next, err
}

// Lease implements imagery.Catalog.
func (c FaultyCatalog) Lease(ctx context.Context, name, holder string, now, until time.Time) (bool, error) {
	return around(c.Faults, "Lease", func() (bool, error) { return c.Catalog.Lease(ctx, name, holder, now, until) })
}

// Ping implements imagery.Catalog.
func (c FaultyCatalog) Ping(ctx context.Context) error {
	return c.act("Ping", func() error { return c.Catalog.Ping(ctx) })
}

// FaultyBlobs is an object store with injected faults.
type FaultyBlobs struct {
	Faults
	Blobs imagery.Blobs
}

// Put implements imagery.Blobs.
func (b FaultyBlobs) Put(ctx context.Context, key, contentType string, body io.ReadSeeker, size int64) error {
	return b.act("Put", func() error { return b.Blobs.Put(ctx, key, contentType, body, size) })
}

// Get implements imagery.Blobs.
func (b FaultyBlobs) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	return around(b.Faults, "Get", func() ([]byte, error) { return b.Blobs.Get(ctx, key, limit) })
}

// Link implements imagery.Blobs.
func (b FaultyBlobs) Link(ctx context.Context, key, filename string) (imagery.Link, error) {
	return around(b.Faults, "Link", func() (imagery.Link, error) { return b.Blobs.Link(ctx, key, filename) })
}

// Ping implements imagery.Blobs.
func (b FaultyBlobs) Ping(ctx context.Context) error {
	return b.act("Ping", func() error { return b.Blobs.Ping(ctx) })
}

// FaultyQueue is a queue with injected faults.
type FaultyQueue struct {
	Faults
	Queue imagery.Queue
}

// Send implements imagery.Queue.
func (q FaultyQueue) Send(ctx context.Context, body []byte, trace string) error {
	return q.act("Send", func() error { return q.Queue.Send(ctx, body, trace) })
}

// Receive implements imagery.Queue.
func (q FaultyQueue) Receive(ctx context.Context, max int, wait time.Duration) ([]imagery.Message, error) {
	return around(q.Faults, "Receive", func() ([]imagery.Message, error) { return q.Queue.Receive(ctx, max, wait) })
}

// Extend implements imagery.Queue.
func (q FaultyQueue) Extend(ctx context.Context, d time.Duration, ms ...imagery.Message) ([]imagery.Message, error) {
	return around(q.Faults, "Extend", func() ([]imagery.Message, error) { return q.Queue.Extend(ctx, d, ms...) })
}

// Delete implements imagery.Queue.
func (q FaultyQueue) Delete(ctx context.Context, ms ...imagery.Message) error {
	return q.act("Delete", func() error { return q.Queue.Delete(ctx, ms...) })
}

// Limits implements imagery.Queue.
func (q FaultyQueue) Limits(ctx context.Context) (imagery.Limits, error) {
	return around(q.Faults, "Limits", func() (imagery.Limits, error) { return q.Queue.Limits(ctx) })
}
