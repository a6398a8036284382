package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

const (
	// pollInterval is often enough for a person who watches, and far below AWS's limits with both groups and all calls.
	pollInterval = 10 * time.Second
	// apiOutageTimeout bounds how long a rollout tolerates AWS API errors, on top of the SDK's own retries.
	apiOutageTimeout = 5 * time.Minute
	// healthyTimeout bounds how long instances may take to become healthy when no refresh watches them: one boot
	// including its lifecycle hook.
	healthyTimeout = 20 * time.Minute
	// refreshTimeout bounds how long a group may take to reach its version, in case AWS never ends the refresh.
	// AWS itself gives up after an hour without progress.
	refreshTimeout = 3 * time.Hour
	// maxFailedLaunches fail a release. Auto Scaling itself would keep retrying for an hour.
	maxFailedLaunches = 2
	// maxFailedRollbackLaunches stop a rollback. It is higher since nothing is left to try after a rollback.
	maxFailedRollbackLaunches = 6
	// maxRefreshes bounds the refreshes that a run starts per group: one, and two more if others cancel it.
	maxRefreshes = 3
)

// failedInstance identifies the instance that shows why a release failed, with the end of its console output.
type failedInstance struct {
	instance string   // empty: there is none
	lines    []string // the last ones that it wrote on its console
	group    string
	logs     string // log group where there is more
}

// failure ends a rollout: the release is bad, or the rollout cannot continue.
type failure struct {
	reason string
	failedInstance
	ends record.Result // of the rollout when it is back, if not RolledBack; NotJudged speaks of no release
}

func (f *failure) Error() string { return f.reason }

// roll is the progress of one group towards a launch template version.
type roll struct {
	*group
	began   time.Time
	started int // refreshes
}

func (r *run) rollWorker(ctx context.Context) (bool, error) { return r.roll(ctx, settings.Worker) }

func (r *run) rollServer(ctx context.Context) (bool, error) {
	delete(r.marked, r.groups[settings.Worker].Name) // watch counts what fails from now on
	return r.roll(ctx, settings.Server)
}

// roll drives a group to the target launch template version. It is a reconcile loop: every iteration derives the next
// action from the observed state, so roll may be restarted at any point.
func (r *run) roll(ctx context.Context, role settings.Role) (bool, error) {
	to := &roll{group: r.groups[role], began: time.Now()}
	return false, r.poll(ctx, func() (bool, error) {
		done, err := r.advance(ctx, to)
		if err == nil && !done && time.Since(to.began) > refreshTimeout {
			err = &failure{reason: fmt.Sprintf("the %ss took more than %s", role, refreshTimeout), ends: record.NotJudged}
		}
		return done, err
	})
}

// poll calls step every poll interval until it is done or fails. Transient AWS errors, which the SDK has already
// retried, do not fail a release: poll tolerates them for apiOutageTimeout. Errors that a retry cannot change are
// returned at once.
func (r *run) poll(ctx context.Context, step func() (done bool, err error)) error {
	var away time.Time
	for {
		done, err := step()
		var judged *failure
		var refused *rejected
		switch {
		case err == nil && done:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil:
			away = time.Time{}
		case errors.As(err, &judged) || errors.As(err, &refused) || answered(err) || errors.Is(err, errLockLost):
			return err
		case away.IsZero():
			away = time.Now()
			r.say("AWS cannot be reached, trying again: %v", err)
		case time.Since(away) > apiOutageTimeout:
			return err
		}
		if err := sleep(ctx, cmp.Or(r.Poll, pollInterval)); err != nil {
			return err
		}
	}
}

// advance does the next thing for a group, if anything is to be done; done is true when it has arrived.
func (r *run) advance(ctx context.Context, to *roll) (done bool, err error) {
	if err := r.asked(); err != nil {
		return false, err
	}
	g, want := to.group, r.want.Versions[to.role]
	if err := r.read(ctx, g); err != nil {
		return false, err
	}
	if err := r.checkProcesses(g); err != nil {
		return false, err
	}
	if g.role == settings.Server && !r.Start {
		if err := r.watch(ctx); err != nil {
			return false, err
		}
	}
	if err := r.unpause(ctx, g); err != nil {
		return false, err
	}
	ours := g.since(r.before[string(g.role)], want)
	active := g.active()
	switch {
	// A refresh is under way.
	case active != nil && active.version() != want:
		// Whoever it was had a reason; to fight about it would help nobody.
		return false, &failure{ends: record.NotJudged,
			reason: fmt.Sprintf("another refresh, of the %ss to version %s, was started meanwhile", g.role, active.version())}
	case active != nil && !active.forward():
		// AWS takes it back, or somebody does. It need not have ended for that to be clear.
		return false, r.failed(ctx, g, *active)
	case active != nil:
		// From the bake on every server is a new one, so that the smoke tries nothing else.
		if active.Status == types.InstanceRefreshStatusBaking && g.role == settings.Server && !r.Start {
			r.smoke(ctx)
		}
		return false, r.launches(ctx, g, want, maxFailedLaunches, active.covers)
	// None is, and one of this rollout has ended.
	case len(ours) > 0 && ours[0].Status != types.InstanceRefreshStatusSuccessful:
		return false, r.failed(ctx, g, ours[0])
	case g.at(want):
		return r.arrived(ctx, to)
	case len(ours) > 0 && g.version != want && to.started < maxRefreshes:
		// The group may show the end of its refresh a moment later. It counts as a start, so that this ends.
		to.started++
		return false, nil
	// None has begun.
	case g.version != want && !g.serves(want):
		// With nobody in service a refresh would wait for the health of those that it must keep, in vain.
		return false, r.replace(ctx, to, want)
	case g.version == want && !g.serves(want):
		return r.arrived(ctx, to) // those that are left of the old version fail and go by themselves
	case to.started >= maxRefreshes:
		return false, &failure{ends: record.NotJudged,
			reason: fmt.Sprintf("%d refreshes of the %ss ended, and there are still other instances", to.started, g.role)}
	}
	if quiet, err := r.quiet(ctx); !quiet || err != nil { // a red alarm would stop it at once
		return false, err
	}
	return false, r.launch(ctx, to, want, true)
}

// watch looks after the workers while the servers roll: their own refresh is over, and nobody else would see that they
// fail, or that somebody replaces them.
func (r *run) watch(ctx context.Context) error {
	g, want := r.groups[settings.Worker], r.want.Versions[settings.Worker]
	if err := r.read(ctx, g); err != nil {
		return err
	}
	if f := g.active(); f != nil && f.version() != want {
		return &failure{ends: record.NotJudged,
			reason: fmt.Sprintf("another refresh, of the %ss to version %s, was started meanwhile", g.role, f.version())}
	} else if g.version != want {
		return &failure{ends: record.NotJudged,
			reason: fmt.Sprintf("the %ss were given version %s meanwhile", g.role, g.version)}
	}
	return r.launches(ctx, g, want, maxFailedLaunches, r.sinceMark(ctx, g))
}

// asked is the failure that somebody asked for, or that the smoke found while the servers bake.
func (r *run) asked() error {
	if a := r.journal.now().Abort; a != nil { // as of the last renewal of the lock
		return &failure{reason: a.By + " aborted it"}
	}
	select {
	case err := <-r.smoked:
		if err != nil {
			return &failure{reason: "the smoke failed: " + err.Error()}
		}
		r.smoked <- nil // for who asks next
	default:
	}
	return nil
}

// arrived waits until those who are there are well: at the first deploy that is the proof, after a refresh it is
// quickly so. Only what failed since this run began counts, for the same release may have failed before for another
// reason, and since the group got the version.
func (r *run) arrived(ctx context.Context, to *roll) (bool, error) {
	ok, missing, err := r.healthy(ctx, to.group)
	if ok && !to.at(r.want.Versions[to.role]) {
		ok, missing = false, "instances of another version are left"
	}
	if ok || err != nil {
		return ok, err
	}
	if err := r.launches(ctx, to.group, r.want.Versions[to.role], maxFailedLaunches, r.sinceMark(ctx, to.group)); err != nil {
		return false, err
	}
	if r.blocked[to.Name] == nil && time.Since(to.began) > healthyTimeout {
		return false, &failure{reason: fmt.Sprintf("the %ss are not well after %s: %s", to.role, healthyTimeout, missing)}
	}
	return false, nil
}

// smokeIsOver reports whether no smoke runs any more; its result is up to asked.
func (r *run) smokeIsOver() bool { return r.smoked == nil || len(r.smoked) > 0 }

// smoke begins the smoke test, once. stopSmoke must be called before the run returns.
func (r *run) smoke(ctx context.Context) {
	if r.Smoke == nil || r.smoked != nil {
		return
	}
	r.smoked = make(chan error, 1)
	r.say("smoke: trying the service as a user does")
	ctx, r.cancelSmoke = context.WithCancel(ctx)
	r.smoking.Go(func() {
		warning, err := r.Smoke(ctx, r.want.Release)
		if warning != "" {
			r.say("smoke: WARNING: %s", warning)
		}
		r.smoked <- err
	})
}

// stopSmoke cancels a smoke test that still runs, and waits until it has ended.
func (r *run) stopSmoke() {
	if r.cancelSmoke != nil {
		r.cancelSmoke()
	}
	r.smoking.Wait()
}
