package local_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"imagery/app/imagery"
	"imagery/app/store/local"
)

// chaotic returns a Store whose queue has the faults of c.
func chaotic(t *testing.T, visibility time.Duration, c local.Chaos) *local.Store {
	t.Helper()
	s, err := local.Open(local.Options{Dir: newDir(t), Visibility: visibility, MaxReceives: 3,
		Log: slog.New(slog.DiscardHandler), Chaos: c})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// send queues n messages whose bodies are their numbers.
func send(t *testing.T, q imagery.Queue, n int) {
	t.Helper()
	for i := range n {
		must(t, q.Send(t.Context(), fmt.Append(nil, i), ""))
	}
}

// receive returns one message; it fails the test if there is none within the wait.
func receive(t *testing.T, q imagery.Queue, wait time.Duration) imagery.Message {
	t.Helper()
	list, err := q.Receive(t.Context(), 1, wait)
	must(t, err)
	if len(list) != 1 {
		t.Fatalf("no message within %s", wait)
	}
	return list[0]
}

// wantEmpty checks that nothing can be received now.
func wantEmpty(t *testing.T, q imagery.Queue) {
	t.Helper()
	if list, err := q.Receive(t.Context(), 10, 0); err != nil || len(list) > 0 {
		t.Errorf("received %v, %v; want nothing", list, err)
	}
}

// all receives messages one by one until none is visible.
func all(t *testing.T, q imagery.Queue) (list []imagery.Message) {
	t.Helper()
	for {
		ms, err := q.Receive(t.Context(), 1, 0)
		must(t, err)
		if len(ms) == 0 {
			return list
		}
		list = append(list, ms...)
	}
}

func bodies(ms []imagery.Message) (list []string) {
	for _, m := range ms {
		list = append(list, string(m.Body))
	}
	return list
}

func TestChaosDuplicates(t *testing.T) {
	t.Parallel()
	const n = 40
	s := chaotic(t, time.Minute, local.Chaos{Seed: 1, Duplicate: 0.5})
	send(t, s.Queue(), n)
	list := all(t, s.Queue())
	if len(list) < n+n/4 || len(list) > 4*n {
		t.Errorf("%d messages were delivered %d times", n, len(list))
	}
	for _, m := range list {
		if m.Receives != 1 {
			t.Errorf("a duplicate of %s counts as delivery %d", m.Body, m.Receives)
		}
	}
	must(t, s.Queue().Delete(t.Context(), list...)) // each copy can be acknowledged
	if visible, inFlight, dead, err := s.Depth(t.Context()); err != nil || visible+inFlight+dead > 0 {
		t.Errorf("left: %d visible, %d in flight, %d dead, %v", visible, inFlight, dead, err)
	}
}

func TestChaosLosesAcknowledgements(t *testing.T) {
	t.Parallel()
	s := chaotic(t, 300*time.Millisecond, local.Chaos{LoseAck: 1})
	send(t, s.Queue(), 1)
	for n := 1; n <= 3; n++ {
		m := receive(t, s.Queue(), 5*time.Second)
		if m.Receives != n {
			t.Errorf("delivery %d has the receive count %d", n, m.Receives)
		}
		must(t, s.Queue().Delete(t.Context(), m))
	}
	for deadline := time.Now().Add(5 * time.Second); ; {
		if list, err := s.Queue().Receive(t.Context(), 1, 100*time.Millisecond); err != nil || len(list) > 0 {
			t.Fatalf("after the last delivery: %v, %v", list, err)
		}
		_, _, dead, err := s.Depth(t.Context())
		must(t, err)
		if dead == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the message is not a dead letter")
		}
	}
	dead := receive(t, s.DeadLetters(), 0)
	must(t, s.DeadLetters().Delete(t.Context(), dead)) // dead letters have no faults
	if _, _, n, err := s.Depth(t.Context()); err != nil || n > 0 {
		t.Errorf("%d dead letters, %v", n, err)
	}
}

func TestChaosForgetsExtensions(t *testing.T) {
	t.Parallel()
	s := chaotic(t, 300*time.Millisecond, local.Chaos{ForgetExtension: 1})
	send(t, s.Queue(), 1)
	m := receive(t, s.Queue(), 0)
	if lost, err := s.Queue().Extend(t.Context(), time.Hour, m); err != nil || len(lost) > 0 {
		t.Errorf("extend: lost %v, %v; want success", lost, err)
	}
	if again := receive(t, s.Queue(), 5*time.Second); again.ID != m.ID || again.Receives != 2 {
		t.Errorf("delivered again: %+v", again)
	} else if lost, err := s.Queue().Extend(t.Context(), 0, again); err != nil || len(lost) > 0 {
		t.Errorf("release: lost %v, %v", lost, err)
	}
	wantEmpty(t, s.Queue())
}

func TestChaosDelays(t *testing.T) {
	t.Parallel()
	s := chaotic(t, time.Minute, local.Chaos{Delay: 1, DelayUpTo: 2 * time.Second})
	send(t, s.Queue(), 10)
	early := all(t, s.Queue())
	if len(early) > 8 {
		t.Errorf("%d of 10 messages arrived at once", len(early))
	}
	for range 10 - len(early) {
		receive(t, s.Queue(), 5*time.Second)
	}
}

func TestChaosReorders(t *testing.T) {
	t.Parallel()
	s := chaotic(t, time.Minute, local.Chaos{Seed: 7, ReorderWithin: time.Hour})
	send(t, s.Queue(), 20)
	got := bodies(all(t, s.Queue()))
	var want []string
	for i := range 20 {
		want = append(want, fmt.Sprint(i))
	}
	if slices.Equal(got, want) {
		t.Error("the messages arrived in their order")
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("received %v", got)
	}
}

// The same seed and the same calls have the same faults; another seed has others.
func TestChaosIsDeterminedByItsSeed(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) string {
		c := local.HeavyChaos(seed)
		c.ReorderWithin, c.DelayUpTo = 0, 0 // these depend on the clock, too
		s := chaotic(t, time.Minute, c)
		send(t, s.Queue(), 30)
		list := all(t, s.Queue())
		must(t, s.Queue().Delete(t.Context(), list...))
		_, inFlight, _, err := s.Depth(t.Context())
		must(t, err)
		return fmt.Sprint(strings.Join(bodies(list), " "), ", ", inFlight, " acknowledgements lost")
	}
	first, again, other := run(42), run(42), run(43)
	if first != again {
		t.Errorf("the same seed:\n%s\n%s", first, again)
	}
	if first == other {
		t.Errorf("another seed: %s", other)
	}
}
