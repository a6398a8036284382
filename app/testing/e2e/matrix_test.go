package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"imagery/app/imagery"
	"imagery/app/testing/fakeaws"
)

// spot is a place in the life of one photo where AWS is called: a role's n-th call of an operation on a resource.
type spot struct {
	role, operation, resource string
	n                         int
}

func (s spot) String() string {
	return fmt.Sprintf("%s %s %s %d", s.role, s.operation, s.resource, s.n)
}

// lab is a server and a worker of their own on emulators of their own, so that cells of the matrix can run side by
// side. Durations are scaled down: an outage of ten minutes is one second here.
type lab struct {
	aws
	c *client
}

func newLab(t *testing.T) *lab {
	c, s := fakeaws.Start(t, imagery.Limits{Visibility: 2 * time.Second, MaxReceives: 5})
	a := aws{c, s}
	quick := []string{"-outage", "1s", "-resend-after", "1s"}
	l := &lab{a, newClient(t, a.role(t, "server", quick...).url)}
	l.c.ready(t.Context(), a.role(t, "worker", quick...))
	return l
}

// resource names what a call acts on, without ids.
func (l *lab) resource(c fakeaws.Call) string {
	r := string(l.Action(c).Resource)
	return r
}

// life takes one photo from create to download and returns its image.
func (l *lab) life(ctx context.Context, body []byte) (view, error) {
	id := imagery.NewID()
	if err := l.c.upload(ctx, id, photo{name: "jpeg", body: body}); err != nil {
		return view{}, err
	}
	v, err := l.c.final(ctx, id)
	if err == nil && v.State == "processed" {
		_, err = l.c.download(ctx, v)
	}
	return v, err
}

// spots records a clean life: the rows of the matrix.
func (l *lab) spots(t *testing.T, body []byte) []spot {
	l.Edge.Clear()
	if v, err := l.life(t.Context(), body); err != nil || v.State != "processed" {
		t.Fatalf("a life without faults: %+v, %v", v, err)
	}
	l.settled(t.Context())
	counts := map[spot]int{}
	for _, c := range l.Edge.Calls() {
		if c.Caller != "test" && c.Operation != "GetObject" || c.Caller == "worker" {
			counts[spot{c.Caller, c.Operation, l.resource(c), 0}]++
		}
	}
	var rows []spot
	for s, n := range counts {
		for i := range min(n, 3) { // later ones are reads of a long poll and passes of the reconciler, all alike
			s.n = i + 1
			rows = append(rows, s)
		}
	}
	slices.SortFunc(rows, func(a, b spot) int { return strings.Compare(a.String(), b.String()) })
	return rows
}

// settled waits until the queue is empty, and two passes of the reconciler are over.
func (l *lab) settled(ctx context.Context) {
	for len(l.Queues.Messages(l.QueueURL)) > 0 && ctx.Err() == nil {
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(700 * time.Millisecond)
}

// try runs one cell: a life in which the fault hits the spot. It returns what is wrong.
func (l *lab) try(ctx context.Context, s spot, k fakeaws.Kind, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	l.Edge.Clear()
	var mu sync.Mutex
	seen := 0
	l.Edge.Inject(func(c fakeaws.Call) fakeaws.Fault {
		mu.Lock()
		defer mu.Unlock()
		if c.Caller != s.role || c.Operation != s.operation || l.resource(c) != s.resource {
			return fakeaws.Fault{}
		}
		if seen++; seen != s.n {
			return fakeaws.Fault{}
		}
		return fakeaws.Fault{Kind: k, Delay: 300 * time.Millisecond}
	})
	v, err := l.life(ctx, body)
	for err == nil && l.Edge.Injected(k) == 0 && ctx.Err() == nil {
		time.Sleep(20 * time.Millisecond) // a call that comes by itself, such as the reconciler's
	}
	l.settled(ctx)
	switch {
	case err != nil:
		return err
	case l.Edge.Injected(k) == 0:
		return fmt.Errorf("the fault was never injected")
	case v.State != "processed" || v.Version != 2:
		return fmt.Errorf("the image is %+v", v)
	case len(l.Queues.Messages(l.QueueURL)) > 0:
		return fmt.Errorf("the queue is not empty")
	case len(l.Queues.Messages(l.DLQURL)) > 0:
		return fmt.Errorf("there is a dead letter")
	}
	return nil
}

// TestFaultMatrix: whatever goes wrong at whichever call, the photo is processed, once. Rows are the calls of a
// recorded life, columns the faults; the previous item instead of the present one is what the emulated table
// answers to every read that is not consistent, in all tests.
func TestFaultMatrix(t *testing.T) {
	t.Parallel()
	const side = 16 // labs at work at the same time
	body := encodeJPEG(t, scene(1, 60, 40))
	labs := make(chan *lab, side)
	var rows []spot
	for i := range side {
		l := newLab(t)
		if i == 0 {
			rows = l.spots(t, body)
		}
		labs <- l
	}
	type cell struct {
		spot
		kind fakeaws.Kind
	}
	results := map[cell]string{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, row := range rows {
		for _, k := range fakeaws.Kinds {
			l := <-labs
			all.Go(func() {
				began := time.Now()
				err := l.try(t.Context(), row, k, body)
				labs <- l
				mu.Lock()
				defer mu.Unlock()
				results[cell{row, k}] = fmt.Sprintf("%.1fs", time.Since(began).Seconds())
				if err != nil {
					results[cell{row, k}] = "FAILED"
					t.Errorf("%s, %s: %v", row, k, err)
				}
			})
		}
	}
	all.Wait()
	if want := len(rows) * len(fakeaws.Kinds); len(results) != want || len(rows) < 15 {
		t.Errorf("%d cells ran, want %d; the recorded life has %d calls", len(results), want, len(rows))
	}
	var table strings.Builder
	fmt.Fprintf(&table, "%-60s", "")
	for _, k := range fakeaws.Kinds {
		fmt.Fprintf(&table, "%12s", k)
	}
	for _, row := range rows {
		fmt.Fprintf(&table, "\n%-60s", row)
		for _, k := range fakeaws.Kinds {
			fmt.Fprintf(&table, "%12s", results[cell{row, k}])
		}
	}
	t.Logf("the photo was processed after:\n%s", table.String())
	for range side {
		l := <-labs
		l.sound(t)
	}
}
