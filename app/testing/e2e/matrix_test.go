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

// callSite identifies an AWS call during the processing of one photo: the n-th call of an operation on a resource by a
// role.
type callSite struct {
	role, operation, resource string
	n                         int
}

func (s callSite) String() string {
	return fmt.Sprintf("%s %s %s %d", s.role, s.operation, s.resource, s.n)
}

// environment is a server and a worker with emulators of their own, so that cells of the matrix can run in parallel.
// Durations are scaled down: one second stands for an outage of ten minutes. The visibility timeout is not: where it
// ends during a job, a slow machine would use up deliveries that no fault has taken.
type environment struct {
	aws
	c *client
}

func newEnvironment(t *testing.T) *environment {
	c, s := fakeaws.Start(t, imagery.Limits{Visibility: 10 * time.Second, MaxReceives: 5})
	a := aws{c, s}
	quick := []string{"-outage", "1s", "-resend-after", "1s"}
	e := &environment{a, newClient(t, a.role(t, "server", quick...).url)}
	e.c.ready(t.Context(), a.role(t, "worker", quick...))
	return e
}

// resource returns the resource of a call, without ids.
func (e *environment) resource(c fakeaws.Call) string { return string(e.Action(c).Resource) }

// process uploads a photo, downloads its result, and returns its image.
func (e *environment) process(ctx context.Context, body []byte) (view, error) {
	id := imagery.NewID()
	if err := e.c.upload(ctx, id, photo{name: "jpeg", body: body}); err != nil {
		return view{}, err
	}
	v, err := e.c.final(ctx, id)
	if err == nil && v.State == "processed" {
		_, err = e.c.download(ctx, v)
	}
	return v, err
}

// recordCalls records the calls for one photo without faults: the rows of the matrix.
func (e *environment) recordCalls(t *testing.T, body []byte) []callSite {
	e.Proxy.Clear()
	if v, err := e.process(t.Context(), body); err != nil || v.State != "processed" {
		t.Fatalf("a life without faults: %+v, %v", v, err)
	}
	e.awaitIdle(t.Context())
	counts := map[callSite]int{}
	for _, c := range e.Proxy.Calls() {
		if c.Caller != "test" && c.Operation != "GetObject" || c.Caller == "worker" {
			counts[callSite{c.Caller, c.Operation, e.resource(c), 0}]++
		}
	}
	var rows []callSite
	for s, n := range counts {
		for i := range min(n, 3) { // later ones are reads of a long poll and passes of the reconciler, all alike
			s.n = i + 1
			rows = append(rows, s)
		}
	}
	// Receives come first: one without an answer holds up its environment as long as a long poll.
	key := func(s callSite) string { return fmt.Sprint(s.operation != "ReceiveMessage", s) }
	slices.SortFunc(rows, func(a, b callSite) int { return strings.Compare(key(a), key(b)) })
	return rows
}

// awaitIdle waits until the queue is empty and the reconciler has made a whole pass since: a pass ends when it reads the
// dead-letter queue, and the first of two ends may belong to a pass that began earlier.
func (e *environment) awaitIdle(ctx context.Context) {
	wait := func(done func() bool) {
		for !done() && ctx.Err() == nil {
			time.Sleep(20 * time.Millisecond)
		}
	}
	passes := func() (n int) {
		for _, c := range e.Proxy.Calls() {
			if c.Operation == "ReceiveMessage" && e.resource(c) == "dead-letters" {
				n++
			}
		}
		return n
	}
	wait(func() bool { return len(e.Queues.Messages(e.QueueURL)) == 0 })
	before := passes()
	wait(func() bool { return passes() >= before+2 })
}

// maxLives is the number of photos that are processed until one needs the call of a cell. Some calls are made by a slow
// machine only, such as the extension of a visibility timeout, and others at any time, such as a long poll.
const maxLives = 3

// inject processes photos until a fault was injected at one call site. It returns what is wrong after a photo, and
// whether the call was made at all.
func (e *environment) inject(ctx context.Context, s callSite, k fakeaws.Kind, body []byte) (injected bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	e.Proxy.Clear()
	var mu sync.Mutex
	seen := 0
	e.Proxy.Inject(func(c fakeaws.Call) fakeaws.Fault {
		mu.Lock()
		defer mu.Unlock()
		if c.Caller != s.role || c.Operation != s.operation || e.resource(c) != s.resource {
			return fakeaws.Fault{}
		}
		if seen++; seen != s.n {
			return fakeaws.Fault{}
		}
		return fakeaws.Fault{Kind: k, Delay: 300 * time.Millisecond}
	})
	for range maxLives {
		if err := e.checkLife(ctx, body); err != nil {
			return false, err
		}
		if e.Proxy.Injected(k) > 0 {
			return true, nil
		}
	}
	return false, nil
}

// checkLife processes a photo and returns what is wrong when everything is idle again.
func (e *environment) checkLife(ctx context.Context, body []byte) error {
	v, err := e.process(ctx, body)
	e.awaitIdle(ctx)
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("the service is still busy: %w", ctx.Err())
	case v.State != "processed" || v.Version != 2:
		return fmt.Errorf("the image is %+v", v)
	case len(e.Queues.Messages(e.QueueURL)) > 0:
		return fmt.Errorf("the queue is not empty")
	case len(e.Queues.Messages(e.DLQURL)) > 0:
		return fmt.Errorf("there is a dead letter")
	}
	return nil
}

// minRows is the minimum number of call sites at which every kind of fault must have been injected.
const minRows = 17

// TestFaultMatrix injects every kind of fault at every call that one photo needs. The photo must be processed exactly
// once. A call that does not come again proves nothing, so enough others must have had every fault. Stale reads are no
// fault here: the emulated table refuses every read that is not consistent, in all tests.
func TestFaultMatrix(t *testing.T) {
	t.Parallel()
	const side = 24 // environments at work at the same time
	body := encodeJPEG(t, scene(1, 60, 40))
	var rows []callSite
	t.Run("record", func(t *testing.T) {
		e := newEnvironment(t)
		// Calls that only a slow machine makes hardly come again in every cell, so rows are only those that were made twice.
		again := e.recordCalls(t, body)
		rows = slices.DeleteFunc(e.recordCalls(t, body), func(s callSite) bool { return !slices.Contains(again, s) })
	})
	type cell struct {
		callSite
		fakeaws.Kind
	}
	cells := make(chan cell)
	var mu sync.Mutex
	missed := map[callSite][]string{}
	var all sync.WaitGroup
	for range side {
		all.Go(func() {
			t.Run("environment", func(t *testing.T) { // a subtest, so that all start and stop at the same time
				e := newEnvironment(t)
				for c := range cells {
					injected, err := e.inject(t.Context(), c.callSite, c.Kind, body)
					if err != nil {
						t.Errorf("%s, %s: %v", c.callSite, c.Kind, err)
					} else if !injected {
						mu.Lock()
						missed[c.callSite] = append(missed[c.callSite], c.Kind.String())
						mu.Unlock()
					}
				}
				e.checkInvariants(t)
			})
		})
	}
	for _, row := range rows {
		for _, k := range fakeaws.Kinds {
			cells <- cell{row, k}
		}
	}
	close(cells)
	all.Wait()
	for row, kinds := range missed {
		t.Logf("%s was not called again for %s", row, strings.Join(kinds, ", "))
	}
	t.Logf("%d faults at each of %d calls", len(fakeaws.Kinds), len(rows)-len(missed))
	if len(rows)-len(missed) < minRows {
		t.Errorf("only %d of %d calls had every fault, want %d", len(rows)-len(missed), len(rows), minRows)
	}
}
