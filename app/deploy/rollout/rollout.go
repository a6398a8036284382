// Package rollout replaces the instances of both groups by those of a new release, and takes it back if anything
// about it is wrong: afterwards both groups run the new release or both run the one before. AWS's instance refresh
// does the replacing, new before old; this package decides when one starts, watches it, and judges.
//
// A run may be killed at any point. It writes what it is about to do before it does it, see app/deploy/record, and the
// next run looks at what is there and goes on, so that running it again is always right. It changes no capacity and
// no resource that Pulumi manages. Time is that of package time, so that a test may run it in a synctest bubble.
package rollout

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"imagery/app/deploy/settings"
)

// Order is the order of the groups. Workers go first: a server may only promise what every worker can keep.
var Order = []settings.Role{settings.Worker, settings.Server}

// Group is one Auto Scaling group.
type Group struct {
	Name   string
	Guards []string // names of the alarms that judge a release, at most ten
	Logs   string   // log group, for who reads an error; may be empty
}

// Target is what should run. The versions are numbers: $Latest would change under a refresh, and AWS rolls back to
// numbers only.
type Target struct {
	Release  string                   // SHA-256 of the binary, lower-case hex
	Versions map[settings.Role]string // numbers of launch template versions
}

// Options of a run.
type Options struct {
	Clients Clients
	Table   string // of images; it holds the record
	Groups  map[settings.Role]Group
	By, Why string        // who runs this, user@host, and what for; people who find the lock read it
	Bake    time.Duration // how long a replaced group is watched
	Poll    time.Duration // interval between two reads of AWS; 0: 10 s
	// Force rolls out what is held or was rolled back, and while an alarm rings.
	Force bool
	// Blind takes no notice of alarms, as Force does.
	Blind bool
	// Start begins the rollout and does not wait for it. AWS takes each group back by itself if it fails; that both
	// end with the same release is then up to the next run.
	Start bool
	// Hold, if set, is why what the groups run now must not come back by itself.
	Hold string
	// Smoke, if set, tries the service as a user does. It runs while the servers bake; its error takes the release
	// back. It is told the release that must answer, and may return a warning.
	Smoke func(ctx context.Context, release string) (warning string, err error)
	// Log is told what happens, a line each, also by several goroutines at once.
	Log func(line string)
}

// Error is a rollout that did not end with the release that was wanted.
type Error struct {
	Outcome  string   // what runs now, a sentence
	Reason   string   // why
	Instance string   // that failed; empty: none in particular
	Lines    []string // the last ones that it wrote
	Logs     string   // log group where there is more
}

func (e *Error) Error() string {
	text := e.Outcome + ": " + e.Reason
	if e.Instance == "" {
		return text
	}
	if len(e.Lines) > 0 {
		text += "\nThe last lines of " + e.Instance + " on its console:\n  | " + strings.Join(e.Lines, "\n  | ")
	}
	if e.Logs != "" {
		text += "\nMore: aws logs tail " + e.Logs + " --since 1h --log-stream-name-prefix " + e.Instance
	}
	return text
}

// Outcome is how a run without an error ended.
type Outcome string

// The outcomes.
const (
	Runs    Outcome = "runs"    // both groups run what was wanted
	Started Outcome = "started" // they are on their way, see Options.Start
)

// run is one run. Its fields are of one goroutine but the journal, and smoked.
type run struct {
	Options
	want    Target
	journal *journal
	groups  map[settings.Role]*group
	outcome Outcome

	began   time.Time
	resumed bool                     // somebody began this very rollout and was killed
	fresh   bool                     // nothing works that one could return to
	old     map[settings.Role]string // versions to return to; empty if fresh
	from    string                   // the release of old; empty: it has none in common
	runs    map[settings.Role]string // the releases of the groups' versions
	before  map[string]string        // by role, the newest instance refresh that is none of this rollout
	smoked  chan error               // gets the result of the smoke; nil: it has not begun
	smoking sync.WaitGroup           // the smoke test's goroutine
	// cancelSmoke ends the smoke test; nil: it has not begun.
	cancelSmoke context.CancelFunc
	lost        map[string]*failure // launches that failed, by activity and by instance
	told        map[string]bool
	blocked     map[string]*blockedLaunch  // by name of the group, see wait
	marked      map[string]map[string]bool // by name of the group, ids of activities that do not count, see mark
}

// Run makes want what both groups run. Its error is an *Error if the release was judged, and says so if AWS goes on
// without us; on any other error nothing was touched. It may run at the same time as others: all but one
// are refused.
func Run(ctx context.Context, o Options, want Target) (Outcome, error) {
	r := newRun(o, want)
	defer r.stopSmoke()
	err := r.locked(ctx, "release "+short(want.Release)+", "+o.Why, func(ctx context.Context) error {
		for _, step := range []func(context.Context) (done bool, err error){
			r.describe,     // at both groups
			r.recover,      // what somebody else began and left
			r.processes,    // both groups can replace instances
			r.converged,    // nothing to do?
			r.checkBlocked, // what is held, or went back before
			r.preflight,    // what can be checked while nothing is touched
			r.begin,        // in the record: from here on it is all or nothing
			r.start,        // both, if nobody is to wait
			r.rollWorker,   // and bake
			r.rollServer,   // and bake, while the smoke runs
			r.succeed,
		} {
			if done, err := step(ctx); done || err != nil {
				return r.conclude(ctx, err)
			}
		}
		return nil
	})
	return r.outcome, err
}

// newRun returns a run that has not begun.
func newRun(o Options, want Target) *run {
	return &run{Options: o, want: want, outcome: Runs, began: time.Now(), lost: map[string]*failure{},
		told: map[string]bool{}, blocked: map[string]*blockedLaunch{}, marked: map[string]map[string]bool{}}
}

// say tells what happens.
func (r *run) say(format string, args ...any) {
	if r.Log != nil {
		r.Log(fmt.Sprintf(format, args...))
	}
}

// once says something the first time only.
func (r *run) once(key, format string, args ...any) {
	if !r.told[key] {
		r.told[key] = true
		r.say(format, args...)
	}
}

// short is a hash as people read it.
func short(release string) string { return release[:min(12, len(release))] }

// versions are the wanted ones as the record has them.
func versions(of map[settings.Role]string) map[string]string {
	out := map[string]string{}
	for role, v := range of {
		out[string(role)] = v
	}
	return out
}

// sleep waits, or returns the error of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
