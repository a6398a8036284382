package rollout_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
	"imagery/app/testing/short"
)

var errGone = errors.New("killed")

// killedAt runs a rollout of release 2 that is killed at a call to AWS, before it is made or after, 0 for none, and
// returns the calls that were made. A killed process calls nothing any more, and does not give the lock back.
func (w *world) killedAt(at int, after bool, change func(*rollout.Options)) (calls []string) {
	ctx, kill := context.WithCancel(context.Background())
	defer kill()
	first := w.calls
	w.setHook(func(call string, n int) (error, error) {
		calls = append(calls, call)
		switch n -= first; {
		case at == 0 || n < at:
			return nil, nil
		case n == at && after:
			kill()
			return nil, errGone
		}
		kill()
		return errGone, nil
	})
	_, err := w.upWith(ctx, 2, change)
	w.setHook(nil)
	if at > 0 && err == nil && !w.said("is not released") {
		w.t.Errorf("killed at call %d, it reports no error", at)
	}
	return calls
}

// Wherever a controller is killed, the next one finds the way to all-new or all-old, and no good instance goes
// before a new one is proven. Without LONG=1 not all looks and renewals are tried: AWS goes on the same.
func TestKilledAtEachCall(t *testing.T) {
	short.Skip(t, "a rollout that is killed at each of its AWS calls")
	for _, c := range []struct {
		name  string
		next  int // the release of the run after the kill
		want  int // what runs in the end
		setUp func(w *world, o *rollout.Options)
	}{
		{"good", 2, 2, func(w *world, o *rollout.Options) { o.Smoke = w.smoke(new([]string), time.Minute, nil) }},
		{"bad servers", 2, 1, func(w *world, o *rollout.Options) { w.fates[key(server, 2)] = always(dead()) }},
		{"smoke fails", 2, 1, func(w *world, o *rollout.Options) { o.Smoke = w.smoke(new([]string), time.Minute, errSmoke) }},
		{"another comes", 3, 3, func(*world, *rollout.Options) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var calls []string
			inWorld(t, func(w *world) {
				w.proven()
				calls = w.killedAt(0, false, func(o *rollout.Options) { c.setUp(w, o) })
			})
			tried := 0
			for at := 1; at <= len(calls); at++ {
				for _, after := range []bool{false, true} {
					if !worth(calls, at, after) {
						continue
					}
					tried++
					inWorld(t, func(w *world) {
						w.killAndRunAgain(at, after, c.next, c.want, func(o *rollout.Options) { c.setUp(w, o) })
					})
					if t.Failed() {
						t.Fatalf("killed at call %d of %d, %s, after it was made: %t", at, len(calls), calls[at-1], after)
					}
				}
			}
			t.Logf("%d calls, %d kills", len(calls), tried)
		})
	}
}

// worth reports whether a kill tells something: every change does, in both ways. A question leaves nothing behind, so
// that it makes no difference whether it was still asked.
func worth(calls []string, at int, after bool) bool {
	changes := func(i int) bool {
		return i >= 0 && i < len(calls) && !strings.HasPrefix(calls[i], "Describe") && calls[i] != "GetItem" && calls[i] != "renewal" && calls[i] != "HeadObject" && !strings.HasPrefix(calls[i], "/")
	}
	if i := at - 1; changes(i) {
		return true
	} else if after {
		return false
	} else if os.Getenv("LONG") == "1" {
		return true
	} else {
		return at < 20 || at%40 == 0
	}
}

func (w *world) killAndRunAgain(at int, after bool, next, want int, change func(*rollout.Options)) {
	t := w.t
	w.quiet = true // who is killed early begins nothing
	w.proven()
	w.killedAt(at, after, change)
	// At once, the dead one's lock is in the way, if it held it.
	if r := w.record(); r.Lock != nil {
		_, err := w.up(next, change)
		if held := (*rollout.HeldError)(nil); !errors.As(err, &held) {
			t.Errorf("the lock of a dead controller: %v", err)
		}
	}
	time.Sleep(2*time.Minute + time.Second)
	_, err := w.up(next, change)
	if (err == nil) != (want == next) {
		t.Errorf("the next run: %v", err)
	}
	w.all(want)
	r := w.record()
	if r.Current() != nil || r.Lock != nil {
		t.Errorf("left in the record: %+v", r)
	}
	if want == next && r.Entries[0].Result != record.Successful || want == 1 && r.Entries[0].Result != record.RolledBack {
		t.Errorf("the record says %+v", r.Entries[0])
	}
	if slices.ContainsFunc(r.Entries, func(e record.Entry) bool { return e.Result.Open() }) {
		t.Errorf("an entry is open: %+v", r.Entries)
	}
}
