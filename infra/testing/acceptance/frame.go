package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Outcomes of a scene.
const (
	passed  = "passed"
	failed  = "FAILED"
	skipped = "skipped"
	notRun  = "not run"
	other   = "not chosen"
)

// result holds the row of the report for a scene.
type result struct {
	scene
	outcome, reason string
	took            time.Duration
	seen            observed
	figures         []string
}

// observed counts the requests and photos of the steady client during a scene.
type observed struct {
	requests, failed      int // of a client that repeats none
	accepted, lost, wrong int // photos
}

// observer is the steady client of a run, and reads logs.
type observer interface {
	// observe returns what happened since the scene began. It waits until each accepted photo is processed, and its error
	// names those that are lost or wrong.
	observe(ctx context.Context, of *T) (observed, error)
	// complaints returns what the service logged, after a scene that failed; empty: nothing.
	complaints(ctx context.Context, of *T) string
}

// skipError is the reason for which a scene cannot run here, found out when it begins.
type skipError string

func (e skipError) Error() string { return string(e) }

// frame runs scenes one after the other and measures them. The first scene makes the stack; the last one removes it and
// runs whatever happened before.
type frame struct {
	scenes []scene
	chosen []string // names; the first and the last scene are always chosen
	keep   bool     // do not run the last scene
	client observer
	ask    func(context.Context)       // called before the last scene of a run of all, if the stack can serve
	usable func(context.Context) error // returns why the stack cannot serve the next scene after a failure
	logf   func(format string, args ...any)
}

// cleanupTimeout bounds the last scene, which also runs after an interrupt.
const cleanupTimeout = 40 * time.Minute

func (f *frame) run(ctx context.Context, t *test) (results []result) {
	unusable := ""
	for i, s := range f.scenes {
		last := i == len(f.scenes)-1
		r := result{scene: s}
		if last && unusable == "" && len(f.chosen) == 0 {
			f.ask(ctx)
		}
		switch {
		case !chosen(f.scenes, i, f.chosen):
			results = append(results, result{scene: s, outcome: other})
			continue
		case last && f.keep:
			r.outcome, r.reason = skipped, "--keep"
		case last:
			cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
			r = f.one(cleanup, s, t)
			cancel()
		case ctx.Err() != nil:
			r.outcome, r.reason = notRun, "the run was interrupted"
		case unusable != "":
			r.outcome, r.reason = notRun, unusable
		default:
			r = f.one(ctx, s, t)
		}
		f.logf("%s: %s%s", s.name, r.outcome, optional(": ", r.reason))
		results = append(results, r)
		if r.outcome != failed || last || unusable != "" || ctx.Err() != nil {
			continue
		}
		if i == 0 {
			unusable = "there is no stack"
		} else if err := f.usable(ctx); err != nil {
			unusable = fmt.Sprintf("after %s: %v", s.name, err)
		}
	}
	return results
}

// one runs a scene.
func (f *frame) one(ctx context.Context, s scene, of *test) result {
	f.logf("%s begins: %s", s.name, s.proves)
	begun := time.Now()
	t := &T{test: of, scene: s.name, begun: begun}
	err := s.run(ctx, t)
	r := result{scene: s, outcome: passed, took: time.Since(begun)}
	if skip := skipError(""); errors.As(err, &skip) {
		return result{scene: s, outcome: skipped, reason: err.Error()}
	}
	seen, lost := f.client.observe(ctx, t)
	r.seen, r.figures = seen, t.figures
	if err := errors.Join(err, lost); err != nil {
		r.outcome, r.reason = failed, err.Error()+f.client.complaints(ctx, t)
	}
	return r
}

func count(results []result, outcome string) (n int) {
	for _, r := range results {
		if r.outcome == outcome {
			n++
		}
	}
	return n
}

// optional returns text with a prefix, or nothing without text.
func optional(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}
