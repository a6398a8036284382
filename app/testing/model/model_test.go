package model

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The sizes of a run, in steps.
const (
	size     = 1_000_000
	longSize = 50_000_000 // with LONG=1
)

// history runs one world to its end. It returns the world, and the violation if a promise was broken.
func history(src *source, traced bool) (w *world, broken *violation) {
	w = newWorld(src)
	w.tracing = traced
	defer func() {
		if v := recover(); v != nil {
			broken = asViolation(v)
			w.tracef("BROKEN: %s", broken.Error())
		}
		for len(w.actors) > 0 {
			w.unwind(w.actors[0])
		}
	}()
	for w.steps < w.cfg.steps && src.next() {
		w.step()
	}
	w.heal()
	return w, nil
}

// asViolation turns a panic of the domain into a violation.
func asViolation(v any) *violation {
	if err, ok := v.(error); ok {
		if broken := (violation{}); errors.As(err, &broken) {
			return &broken
		}
	}
	return &violation{noPanic, fmt.Sprintf("%v\n%s", v, debug.Stack())}
}

// finding is a history that broke a promise.
type finding struct {
	seed   uint64
	world  *world
	broken *violation
}

// explore runs histories, beginning with a seed, until it has taken so many steps or found a violation.
func explore(from uint64, size int, seen map[string]int) (steps, histories int, found *finding) {
	for seed := from; steps < size && found == nil; seed++ {
		w, broken := history(fromSeed(seed), false)
		steps += w.steps
		histories++
		for name, n := range w.seen {
			seen[name] += n
		}
		if broken != nil {
			found = &finding{seed, w, broken}
		}
	}
	return steps, histories, found
}

// report fails the test with the shortest history found that breaks the same promise.
func (f *finding) report(t *testing.T, histories, steps int) {
	t.Helper()
	calm := shrink(f.world.src.tape, 20_000, func(c tape) bool {
		_, broken := history(fromTape(c), false)
		return broken != nil && broken.promise == f.broken.promise
	})
	w, _ := history(fromTape(calm), true)
	t.Errorf("BROKEN: %s\nfound by seed %d in history %d after %d steps\n%s\n"+
		"a shorter history that breaks it, with receives=%d daemon=%t clocks off by %v:\n%s\n"+
		"replay with IMAGERY_MODEL_SEED=%d go test -run '^TestModel$' ./app/testing/model",
		f.broken.promise, f.seed, histories, steps, abbreviate(f.broken.detail),
		w.cfg.maxReceives, w.cfg.daemon, w.cfg.skews, strings.Join(w.trace, "\n"), f.seed)
}

// number returns the value of a variable that holds a seed.
func number(t *testing.T, name string) (n uint64, set bool) {
	t.Helper()
	text, set := os.LookupEnv(name)
	if !set {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n, true
}

// TestModel runs new histories each time. IMAGERY_MODEL_SEED replays a single one, and IMAGERY_MODEL_FROM sets the
// first seed.
func TestModel(t *testing.T) {
	if seed, set := number(t, "IMAGERY_MODEL_SEED"); set {
		replay(t, seed)
		return
	}
	from, set := number(t, "IMAGERY_MODEL_FROM")
	if !set {
		from = uint64(rand.Uint32())
	}
	limit := size
	if os.Getenv("LONG") == "1" {
		limit = longSize
	}
	began, seen := time.Now(), map[string]int{}
	var steps, histories int
	// In the bubble the pauses between the domain's conditional writes take no time and are exact.
	synctest.Test(t, func(t *testing.T) {
		var found *finding
		if steps, histories, found = explore(from, limit, seen); found != nil {
			found.report(t, histories, steps)
		}
	})
	took := time.Since(began)
	t.Logf("seeds %d to %d: %d histories, %d steps in %.1f s, %.0f steps/s", from, from+uint64(histories)-1, histories,
		steps,
		took.Seconds(), float64(steps)/took.Seconds())
	if !t.Failed() {
		checkCoverage(t, seen)
	}
}

// replay runs the history of one seed and prints what happened in it.
func replay(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		if w, broken := history(fromSeed(seed), false); broken != nil {
			(&finding{seed, w, broken}).report(t, 1, w.steps)
			return
		}
		w, _ := history(fromSeed(seed), true)
		t.Logf("seed %d keeps every promise:\n%s", seed, strings.Join(w.trace, "\n"))
	})
}

// checkCoverage fails the test unless every event of the model happened in the run.
func checkCoverage(t *testing.T, seen map[string]int) {
	t.Helper()
	var words []string
	for _, word := range requiredEvents() {
		if seen[word] == 0 {
			t.Errorf("%q never happened", word)
		}
	}
	for _, word := range slices.Sorted(maps.Keys(seen)) {
		words = append(words, fmt.Sprint(word, " ", seen[word]))
	}
	t.Log(strings.Join(words, ", "))
}

// TestHistoriesFollowFromTheirSeeds checks that a seed, and the tape that it recorded, give exactly the same history.
func TestHistoriesFollowFromTheirSeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(300) {
			first, _ := history(fromSeed(seed), true)
			again, _ := history(fromSeed(seed), true)
			taped, _ := history(fromTape(first.src.tape), true)
			if !slices.Equal(first.trace, again.trace) || !slices.Equal(first.trace, taped.trace) {
				t.Fatalf("seed %d: three runs differ", seed)
			}
			if len(first.trace) < first.cfg.steps/4 {
				t.Errorf("seed %d: %d lines of trace for %d steps", seed, len(first.trace), first.steps)
			}
		}
	})
}
