// Package rollout replaces the instances of both groups by instances of a new release, and rolls both groups back if
// the release fails: at the end both groups run the new release, or both run the old one. Instance refreshes of Auto
// Scaling do the replacing and launch new instances before they terminate old ones; this package decides when one
// starts, and watches it.
//
// A run may be killed at any point. It records what it is about to do before it does it, see app/deploy/record, and the
// next run continues from the observed state, so that it is always safe to run it again. It changes no capacity and no
// resource that Pulumi manages. It uses the time of package time only, so that tests may run in a synctest bubble.
//
// The package has four parts: journal (lock and record), observer (reads), the functions decide… (pure), and actor
// (changes). The controller drives them.
package rollout

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

// Order is the order of the groups. Workers go first: every worker must be able to process what a server accepts.
var Order = []settings.Role{settings.Worker, settings.Server}

// Group is one Auto Scaling group.
type Group struct {
	Name   string
	Alarms []string // alarms that judge a release, at most ten
	Logs   string   // log group that errors refer to; may be empty
}

// logGroups returns the log groups of Auto Scaling groups that have one.
func logGroups(groups ...Group) (logs []string) {
	for _, g := range groups {
		if g.Logs != "" {
			logs = append(logs, g.Logs)
		}
	}
	return logs
}

// Target says what the groups should run. The versions are numbers: the meaning of $Latest would change during a
// refresh, and AWS rolls back to numbers only.
type Target struct {
	Release  string                   // SHA-256 of the binary, lower-case hex
	Versions map[settings.Role]string // numbers of launch template versions
}

// Options configure a run.
type Options struct {
	Clients Clients
	Table   string // table of images, which holds the record
	Groups  map[settings.Role]Group
	By, Why string        // user@host and reason of the run, shown to operators who find the lock
	Bake    time.Duration // how long a replaced group is watched
	Poll    time.Duration // interval between two reads of AWS; 0: 10 s
	// Force rolls out a release that is blocked or was rolled back, and ignores alarms.
	Force bool
	// IgnoreAlarms starts although alarms are in state ALARM, and has none judge the release.
	IgnoreAlarms bool
	// Start begins the rollout without waiting for its end. AWS rolls each group back by itself if it fails; the next run
	// then makes both groups run the same release.
	Start bool
	// Block, if set, blocks the releases that the groups run now, with this reason.
	Block string
	// Smoke, if set, uses the service as a client does, and expects that release. It runs while the servers bake, and
	// its error fails the release.
	Smoke func(ctx context.Context, release string) error
	// Log receives a line for each event, also from several goroutines at once.
	Log func(line string)
}

// Error is returned when a rollout did not end with the release that was wanted. Within the package, an Error without
// an Outcome is a failure: the release is bad, or the rollout cannot continue, and it has not been rolled back yet.
type Error struct {
	Outcome  string   // what the groups run now, a sentence
	Reason   string   // why the release was not rolled out
	Instance string   // instance that failed; empty: none in particular
	Lines    []string // last lines of its console
	Logs     []string // log groups with more

	result record.Result // of the rollout, if not that of a rollback
	stuck  bool          // the rollback has failed, too
}

func (e *Error) Error() string {
	text := e.Outcome + ": " + e.Reason
	if e.Instance != "" && len(e.Lines) > 0 {
		text += "\nThe last lines of " + e.Instance + " on its console:\n  | " + strings.Join(e.Lines, "\n  | ")
	}
	for _, group := range e.Logs {
		text += "\nMore: aws logs tail " + group + " --since 1h"
		if e.Instance != "" {
			text += " --log-stream-name-prefix " + e.Instance
		}
	}
	return text
}

// Outcome is the result of a run without an error.
type Outcome string

// The outcomes.
const (
	Done    Outcome = "runs"    // both groups run the release
	Started Outcome = "started" // the rollout has begun, see Options.Start
)

// rejected is an error that a retry does not change. The run has changed nothing.
type rejected struct{ text string }

func (e *rejected) Error() string { return e.text }

// controller is one run.
type controller struct {
	Options
	*progress
	want             Target
	journal          *journal
	observe          *observer
	act              *actor
	smoke            *smokeTest
	workers, servers *group
	groups           []*group // both, in the order of Order
	outcome          Outcome
	began            time.Time
	resumed          bool                     // an earlier run began the same rollout and was killed
	firstDeploy      bool                     // there is no working release to roll back to
	entry            record.Entry             // of the rollout, as it was begun
	releases         map[settings.Role]string // releases of the groups' versions
}

// newController returns a controller without the lock.
func newController(o Options, want Target) *controller {
	p := &progress{write: o.Log, logged: map[string]bool{}}
	j := &journal{clients: o.Clients, table: o.Table, id: rand.Text()}
	return &controller{Options: o, want: want, progress: p, journal: j, observe: &observer{o.Clients, p},
		act: &actor{o.Clients, j, p}, outcome: Done, began: time.Now(),
		smoke: &smokeTest{try: o.Smoke, logs: logGroups(o.Groups[settings.Server], o.Groups[settings.Worker]), progress: p}}
}

// Run rolls out want to both groups. It returns an *Error if the release failed or could not be rolled out; the text of
// other errors says so if AWS continues a rollout without a controller, else nothing was changed. Several runs may be
// started at the same time: all but one return a *HeldError.
func Run(ctx context.Context, o Options, want Target) (Outcome, error) {
	c := newController(o, want)
	defer c.smoke.stop()
	err := c.locked(ctx, "release "+short(want.Release)+", "+o.Why, func(ctx context.Context) error {
		for _, step := range []func(context.Context) (done bool, err error){
			c.describe,       // both groups
			c.recover,        // a rollout that an earlier run left unfinished
			c.checkProcesses, // both groups can replace instances
			c.converged,      // nothing to do?
			c.checkBlocked,   // blocked, or failed before
			c.preflight,      // all other checks that change nothing
			c.begin,          // record it: from here on both groups or none
			c.start,          // both groups at once, without waiting for the end
			c.roll,           // and bake, one after the other; the servers with the smoke test
			c.succeed,
		} {
			if done, err := step(ctx); done || err != nil {
				return c.conclude(ctx, err)
			}
		}
		return nil
	})
	return c.outcome, err
}

// locked takes the lock, runs do while it renews the lock, and releases it, also after an interruption, so that the
// next run need not wait. The context of do is cancelled when the lock is lost.
func (c *controller) locked(ctx context.Context, why string, do func(context.Context) error) error {
	if err := c.journal.lock(ctx, c.By, why); err != nil {
		return err
	}
	held, cancel := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { c.journal.renew(held, cancel) })
	err := do(held)
	cancel(nil)
	renewing.Wait()
	release, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer done()
	e := c.journal.editLocked(release, func(r *record.Record) { r.Lock = nil })
	if e != nil && !errors.Is(e, errLockLost) {
		c.log("the rollout lock is not released and expires in %s: %v", lockDuration, e)
	}
	return err
}

// describe reads both groups.
func (c *controller) describe(ctx context.Context) (bool, error) {
	for _, role := range Order {
		g := newGroup(c.Groups[role], role)
		if err := c.observe.group(ctx, g); err != nil {
			return false, err
		}
		g.wasDown = !g.serves("")
		c.groups = append(c.groups, g)
	}
	c.workers, c.servers = c.groups[0], c.groups[1]
	return false, nil
}
