package imagery_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"imagery/app/imagery"
	"imagery/app/testing/memory"
)

// bigCatalog is a catalog with a large backlog that does not shrink. It has pages like DynamoDB, of at most limit rows
// and 1 MB; a row of the index has about 100 bytes. It counts its calls.
type bigCatalog struct {
	imagery.Catalog
	rows    map[byte][]imagery.Pending // sorted by Updated
	images  map[string]imagery.Image
	queries int
	gets    int
	writes  int
}

const rowsPerMB = 1 << 20 / 100

func newBigCatalog(n int, now time.Time, span time.Duration) *bigCatalog {
	c := &bigCatalog{Catalog: &memory.Catalog{}, rows: map[byte][]imagery.Pending{}, images: map[string]imagery.Image{}}
	for i := range n {
		id := imagery.NewID()
		updated := now.Add(-span / time.Duration(n) * time.Duration(i)).Truncate(time.Millisecond)
		c.images[id] = imagery.Image{ID: id, Version: 1, State: imagery.Uploaded, Updated: updated, Hinted: updated,
			RawKey: "upload/" + id + "/x"}
		c.rows[id[0]] = append(c.rows[id[0]], imagery.Pending{ID: id, Updated: updated})
	}
	for _, rows := range c.rows {
		slices.Reverse(rows)
	}
	return c
}

func (c *bigCatalog) Get(_ context.Context, id string) (imagery.Image, error) {
	c.gets++
	return c.images[id], nil
}

func (c *bigCatalog) Touch(_ context.Context, img imagery.Image, hinted time.Time) error {
	c.writes++
	img.Hinted = hinted
	c.images[img.ID] = img
	return nil
}

func (c *bigCatalog) Pending(_ context.Context, shard string, from, to time.Time, after string, limit int) (
	[]imagery.Pending, string, error) {
	c.queries++
	rows := c.rows[shard[0]]
	at := sort.Search(len(rows), func(i int) bool { return !rows[i].Updated.Before(from) })
	if after != "" {
		if _, err := fmt.Sscan(after, &at); err != nil {
			return nil, "", err
		}
	}
	end := at + sort.Search(len(rows)-at, func(i int) bool { return rows[at+i].Updated.After(to) })
	stop := min(end, at+min(limit, rowsPerMB))
	next := ""
	if stop < end {
		next = fmt.Sprint(stop)
	}
	return rows[at:stop], next, nil
}

// The number of calls in an hour grows with the hints that are due in it, not with passes times backlog, and the reads
// of a pass are limited whatever the backlog.
func TestReconcilerAtScale(t *testing.T) {
	sizes := []int{1_000, 10_000, 100_000}
	if os.Getenv("LONG") == "1" {
		sizes = append(sizes, 1_000_000)
	}
	const passes, perPass = 60, 3000 // one pass per minute, 50 reads per second
	var table strings.Builder
	for _, n := range sizes {
		now := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
		c := newBigCatalog(n, now, 24*time.Hour)
		queue, dead := memory.NewQueue(imagery.Limits{Visibility: time.Minute, MaxReceives: 5})
		s := &imagery.Service{Catalog: c, Queue: queue, DeadLetters: dead, Now: func() time.Time { return now },
			ResendAfter: 5 * time.Minute}
		r := s.NewReconciler("a", time.Minute)
		backlog, resent := 0, 0
		for c.gets == 0 || c.gets-backlog >= perPass { // a new leader reads everything once
			backlog = c.gets
			resent += run(t, r).Resent
			now = now.Add(time.Minute)
			if got := c.gets - backlog; got > perPass+16*2 {
				t.Fatalf("%d images: a pass read %d", n, got)
			}
		}
		first := c.gets
		c.queries, c.gets, c.writes = 0, 0, 0
		for range passes {
			resent += run(t, r).Resent
			now = now.Add(time.Minute)
		}
		fmt.Fprintf(&table, "\n%9d pending: first %7d reads; then in an hour: %6d queries, %6d reads, %6d hints sent", n,
			first, c.queries, c.gets, c.writes)
		// In a steady hour, a read without a due hint is the read of a shard's oldest image, 16 per pass, or of a row at
		// the edge of a window.
		if idle := c.gets - c.writes; idle > passes*16+n/20 {
			t.Errorf("%d images: %d of %d reads found no due hint", n, idle, c.gets)
		}
		if resent < n {
			t.Errorf("%d images: only %d hints were sent", n, resent)
		}
	}
	t.Log("calls of the reconciler:" + table.String())
}
