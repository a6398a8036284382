// Package memory implements the ports of package imagery in memory, for tests of the packages that use them. It is
// deterministic under a fake clock.
package memory

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"imagery/app/imagery"
)

// Catalog is an imagery.Catalog.
type Catalog struct {
	mu    sync.Mutex
	items map[string]imagery.Image
	lease map[string]lease
	Moves []imagery.Image // images written by Move, in order
}

// Create implements imagery.Catalog.
func (c *Catalog) Create(_ context.Context, img imagery.Image, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.items[img.ID]; ok && !old.Expired(now) {
		return imagery.ErrExists
	}
	c.put(img)
	return nil
}

// put stores an image. The caller must hold the lock.
func (c *Catalog) put(img imagery.Image) {
	if c.items == nil {
		c.items = map[string]imagery.Image{}
	}
	img.History = slices.Clone(img.History)
	c.items[img.ID] = img
}

// Put stores an image unconditionally.
func (c *Catalog) Put(img imagery.Image) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(img)
}

// Remove deletes an item, like an expired time to live.
func (c *Catalog) Remove(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.items, id)
}

// Get implements imagery.Catalog.
func (c *Catalog) Get(_ context.Context, id string) (imagery.Image, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	img, ok := c.items[id]
	if !ok {
		return imagery.Image{}, imagery.ErrNotFound
	}
	return img, nil
}

// Move implements imagery.Catalog.
func (c *Catalog) Move(_ context.Context, from, to imagery.Image) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, ok := c.items[from.ID]
	if !ok || now.Version != from.Version || now.State != from.State || now.RawKey != from.RawKey {
		return imagery.ErrConflict
	}
	c.put(to)
	c.Moves = append(c.Moves, to)
	return nil
}

// Touch implements imagery.Catalog.
func (c *Catalog) Touch(_ context.Context, img imagery.Image, hinted time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, ok := c.items[img.ID]
	if !ok || now.Version != img.Version {
		return imagery.ErrConflict
	}
	now.Hinted = hinted.Truncate(time.Millisecond)
	c.put(now)
	return nil
}

// Pending implements imagery.Catalog.
func (c *Catalog) Pending(
	_ context.Context, shard string, from, to time.Time, after string, limit int,
) ([]imagery.Pending, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := func(p imagery.Pending) string { return fmt.Sprintf("%020d/%s", p.Updated.UnixMilli(), p.ID) }
	var list []imagery.Pending
	for _, img := range c.items {
		p := imagery.Pending{ID: img.ID, Updated: img.Updated}
		listed := !img.Unlisted && img.PendingShard() == shard
		if listed && !img.Updated.Before(from) && !img.Updated.After(to) && key(p) > after {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b imagery.Pending) int { return strings.Compare(key(a), key(b)) })
	if len(list) <= limit {
		return list, "", nil
	}
	return list[:limit], key(list[limit-1]), nil
}

// lease is the holder of a named lease and its end.
type lease struct {
	holder string
	until  time.Time
}

// Lease implements imagery.Catalog.
func (c *Catalog) Lease(_ context.Context, name, holder string, now, until time.Time) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l, ok := c.lease[name]; ok && l.holder != holder && !l.until.Before(now) {
		return false, nil
	}
	if c.lease == nil {
		c.lease = map[string]lease{}
	}
	c.lease[name] = lease{holder, until}
	return true, nil
}

// Ping implements imagery.Catalog.
func (c *Catalog) Ping(context.Context) error { return nil }

// Blobs is an imagery.Blobs.
type Blobs struct {
	mu   sync.Mutex
	objs map[string][]byte
	Puts map[string]int // number of Put calls by key
}

// Put implements imagery.Blobs.
func (b *Blobs) Put(_ context.Context, key, _ string, body io.ReadSeeker, size int64) error {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return err
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if int64(len(data)) != size {
		return fmt.Errorf("put %s: %d bytes declared, %d read", key, size, len(data))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.objs == nil {
		b.objs, b.Puts = map[string][]byte{}, map[string]int{}
	}
	b.objs[key] = data
	b.Puts[key]++
	return nil
}

// Get implements imagery.Blobs.
func (b *Blobs) Get(_ context.Context, key string, limit int64) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, ok := b.objs[key]
	if !ok {
		return nil, imagery.ErrNotFound
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("get %s: %d bytes are over the limit of %d", key, len(data), limit)
	}
	return bytes.Clone(data), nil
}

// Link implements imagery.Blobs.
func (b *Blobs) Link(ctx context.Context, key, _ string) (imagery.Link, error) {
	data, err := b.Get(ctx, key, math.MaxInt64)
	if err != nil {
		return imagery.Link{}, err
	}
	return imagery.Link{Body: struct {
		*bytes.Reader
		io.Closer
	}{bytes.NewReader(data), io.NopCloser(nil)}}, nil
}

// Ping implements imagery.Blobs.
func (b *Blobs) Ping(context.Context) error { return nil }

// Remove deletes an object.
func (b *Blobs) Remove(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.objs, key)
}

// Keys lists all objects, sorted.
func (b *Blobs) Keys() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.objs))
}

var (
	_ imagery.Catalog = (*Catalog)(nil)
	_ imagery.Blobs   = (*Blobs)(nil)
)
