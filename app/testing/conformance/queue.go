package conformance

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"imagery/app/imagery"
)

// queueTest is the environment of a queue case.
type queueTest struct {
	Target
	QueueStorage
	limits imagery.Limits
}

// long is a multiple of the shortest visibility timeout that is too long to matter in a case.
const long = 60

// plenty is more receives than cases without dead letters need.
const plenty = 50

// onQueue returns a case with three handles on a queue. Its visibility timeout is the given multiple of the shortest
// one.
func onQueue(name string, visibility, maxReceives int, run func(t *testing.T, q queueTest)) testCase {
	return testCase{name, func(t *testing.T, b Target) {
		if b.Queue == nil {
			b.skip(t, "this backend has no queue")
		}
		limits := imagery.Limits{Visibility: time.Duration(visibility) * b.Visibility, MaxReceives: maxReceives}
		run(t, queueTest{b, b.Queue(t, 3, limits), limits})
	}}
}

func queueCases() []testCase {
	return []testCase{
		onQueue("Queue.Send, Receive: body, trace and time survive", long, plenty, messageSurvives),
		onQueue("Queue.Receive: at most max messages", long, plenty, maxIsRespected),
		onQueue("Queue.Receive: competing receivers share the messages", long, plenty, receiversShare),
		onQueue("Queue.Receive: a long poll wakes soon after a send", long, plenty, longPollWakes),
		onQueue("Queue.Receive: ends with its wait, and with its context", long, plenty, receiveEnds),
		onQueue("Queue.Delete: gone for good, also in more than one batch", long, plenty, deleteIsFinal),
		onQueue("Queue.Limits: of the queue and of its dead letters", long, 4, limitsAreKnown),
	}
}

// messageSurvives uses a trace in the format of X-Ray, because SQS rejects others.
func messageSurvives(t *testing.T, q queueTest) {
	const trace = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1"
	want := map[string]string{`{"imageId":"x","text":"<&> ü € 🖼 \" \\ \n"}`: trace, `{"imageId":"y"}`: ""}
	before := time.Now()
	for body, trace := range want {
		must(t, q.Handles[0].Send(t.Context(), []byte(body), trace))
	}
	for body, m := range collect(t, q.Handles[1], len(want)) {
		if trace, ok := want[body]; !ok || m.Trace != trace {
			t.Errorf("received body %q with trace %q", body, m.Trace)
		}
		if m.ID == "" || m.Receipt == "" || m.Receives < 1 || q.Exact && m.Receives != 1 {
			t.Errorf("first delivery is %+v", m)
		}
		if d := m.Sent.Sub(before); d < -time.Minute || d > time.Minute { // the backend may have another clock
			t.Errorf("sent at %s, it was %s", m.Sent, before)
		}
	}
}

// maxIsRespected: a worker must not get more messages than it can process.
func maxIsRespected(t *testing.T, q queueTest) {
	const n = 15
	for i := range n {
		must(t, q.Handles[0].Send(t.Context(), fmt.Appendf(nil, "message %d", i), ""))
	}
	seen := map[string]bool{}
	for max := 1; len(seen) < n; max = max%10 + 3 {
		list, err := q.Handles[1].Receive(t.Context(), max, waitTimeout/2)
		must(t, err)
		if len(list) == 0 || len(list) > max {
			t.Fatalf("received %d messages, %d are left, max was %d", len(list), n-len(seen), max)
		}
		for _, m := range list {
			seen[string(m.Body)] = true
		}
	}
}

// receiversShare waits for every message, which detects lost ones as well as duplicates.
func receiversShare(t *testing.T, q queueTest) {
	const n = 30
	for i := range n {
		must(t, q.Handles[i%3].Send(t.Context(), fmt.Appendf(nil, "message %d", i), ""))
	}
	ctx, stop := context.WithTimeout(t.Context(), waitTimeout)
	defer stop()
	var mu sync.Mutex
	deliveries := map[string]int{}
	race(6, func(i int) {
		h := q.Handles[i%3]
		for ctx.Err() == nil {
			list, err := h.Receive(ctx, 3, waitTimeout)
			if err != nil {
				t.Error(err)
				return
			}
			if err := h.Delete(t.Context(), list...); err != nil {
				t.Error(err)
			}
			mu.Lock()
			for _, m := range list {
				deliveries[string(m.Body)]++
			}
			if len(deliveries) == n {
				stop()
			}
			mu.Unlock()
		}
	})
	for body, d := range deliveries {
		if d > 1 && q.Exact {
			t.Errorf("%s was delivered %d times inside its visibility timeout", body, d)
		}
	}
	if len(deliveries) != n {
		t.Errorf("%d of %d messages arrived", len(deliveries), n)
	}
}

// longPollWakes: a message that is sent during a long poll must end it.
func longPollWakes(t *testing.T, q queueTest) {
	const wait = 15 * time.Second
	for _, sender := range []int{1, 0} { // another handle, and that of the receiver
		sent := make(chan time.Time, 1)
		time.AfterFunc(500*time.Millisecond, func() { // the poll has begun; if not, it must be as fast
			began := time.Now()
			if err := q.Handles[sender].Send(t.Context(), []byte("wake up"), ""); err != nil {
				t.Error(err)
			}
			sent <- began // last, so that the test does not end before Send returns
		})
		list, err := q.Handles[0].Receive(t.Context(), 1, wait)
		must(t, err)
		if took := time.Since(<-sent); len(list) != 1 || took > wait/3 {
			t.Fatalf("a poll of %s returned %d messages, %s after the send", wait, len(list), took)
		}
		must(t, q.Handles[0].Delete(t.Context(), list...))
	}
}

// receiveEnds: a stopping worker does not wait for its poll, and the end of its context is not an error.
func receiveEnds(t *testing.T, q queueTest) {
	start := time.Now()
	list, err := q.Handles[0].Receive(t.Context(), 10, time.Second)
	if took := time.Since(start); len(list) != 0 || err != nil || took < 900*time.Millisecond || took > waitTimeout/2 {
		t.Errorf("a poll of 1 s on an empty queue returned %d messages and %v after %s", len(list), err, took)
	}
	start = time.Now()
	list, err = q.Handles[0].Receive(t.Context(), 10, 0)
	if took := time.Since(start); len(list) != 0 || err != nil || took > waitTimeout/2 {
		t.Errorf("a look at an empty queue returned %d messages and %v after %s", len(list), err, took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	for range 2 { // the second time it has ended before
		start = time.Now()
		list, err = q.Handles[0].Receive(ctx, 10, 20*time.Second)
		if took := time.Since(start); len(list) != 0 || err != nil || took > 10*time.Second {
			t.Errorf("a poll of 20 s whose context ended returned %d messages and %v after %s", len(list), err, took)
		}
	}
}

// deleteIsFinal: any handle may delete a message.
func deleteIsFinal(t *testing.T, q queueTest) {
	const n = 12 // SQS takes ten at once
	for i := range n {
		must(t, q.Handles[0].Send(t.Context(), fmt.Appendf(nil, "message %d", i), ""))
	}
	var list []imagery.Message
	for _, m := range collect(t, q.Handles[1], n) {
		list = append(list, m)
	}
	must(t, q.Handles[2].Delete(t.Context(), list...)) // a receipt is valid on every handle
	must(t, q.Handles[1].Delete(t.Context(), list...)) // a second delete is not an error
	lost, err := q.Handles[1].Extend(t.Context(), 0, list...)
	if err != nil || len(lost) != n {
		t.Errorf("extend of %d deleted messages: %d lost, %v", n, len(lost), err)
	}
	wantQuiet(t, q.Handles[0], q.Visibility)

	must(t, q.Handles[1].Delete(t.Context()))
	if lost, err := q.Handles[1].Extend(t.Context(), 0); err != nil || len(lost) != 0 {
		t.Errorf("extend of nothing: %d lost, %v", len(lost), err)
	}
}

func limitsAreKnown(t *testing.T, q queueTest) {
	for _, h := range q.Handles {
		if got, err := h.Limits(t.Context()); err != nil || got != q.limits {
			t.Errorf("limits are %+v, %v, want %+v", got, err, q.limits)
		}
	}
	if got, err := q.DeadLetters[0].Limits(t.Context()); err != nil || got.MaxReceives != 0 || got.Visibility <= 0 {
		t.Errorf("limits of the dead letters are %+v, %v, want no end of receives", got, err)
	}
}

// collect receives until it has n different bodies.
func collect(t *testing.T, h imagery.Queue, n int) map[string]imagery.Message {
	t.Helper()
	all := map[string]imagery.Message{}
	for deadline := time.Now().Add(waitTimeout); len(all) < n; {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d messages arrived within %s", len(all), n, waitTimeout)
		}
		list, err := h.Receive(t.Context(), 10, 5*time.Second)
		must(t, err)
		for _, m := range list {
			all[string(m.Body)] = m
		}
	}
	return all
}

// receive waits for the next message.
func receive(t *testing.T, h imagery.Queue) imagery.Message {
	t.Helper()
	for _, m := range collect(t, h, 1) {
		return m
	}
	panic("collect returned nothing")
}

// wantQuiet fails if a message is received within d.
func wantQuiet(t *testing.T, h imagery.Queue, d time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(d); time.Now().Before(deadline); {
		list, err := h.Receive(t.Context(), 10, max(time.Until(deadline), 0))
		must(t, err)
		if len(list) > 0 {
			t.Fatalf("received %d messages, the first %+v, want none", len(list), list[0])
		}
	}
}

// notBefore fails if less than d has passed since then, with tolerance for clock rounding.
func notBefore(t *testing.T, then time.Time, d time.Duration) {
	t.Helper()
	if took := time.Since(then); took < d*9/10 {
		t.Errorf("the message came after %s, it should stay away for %s", took, d)
	}
}

// notAfter fails if more than d has passed since then.
func notAfter(t *testing.T, then time.Time, d time.Duration) {
	t.Helper()
	if took := time.Since(then); took > d {
		t.Errorf("the message came after %s, want at most %s", took, d)
	}
}
