package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

// Report is the result of Status.
type Report struct {
	Record record.Record `json:"record"`
	Groups []GroupReport `json:"groups"`
}

// GroupReport describes one group.
type GroupReport struct {
	Role    settings.Role `json:"role"`
	Name    string        `json:"name"`
	Version string        `json:"version"` // launch template version of new instances
	Release string        `json:"release"` // of that version; empty: unknown
	Minimum int           `json:"minimum"`
	// Instances by id.
	Instances map[string]InstanceReport `json:"instances"`
	Refresh   *RefreshReport            `json:"refresh,omitempty"` // the newest; nil: none
	// Suspended processes, with the reason of each.
	Suspended map[string]string `json:"suspended,omitempty"`
}

// InstanceReport describes one instance.
type InstanceReport struct {
	Version string `json:"version"`
	State   string `json:"state"` // lifecycle state
	Healthy bool   `json:"healthy"`
}

// RefreshReport describes an instance refresh.
type RefreshReport struct {
	Version string `json:"version"` // target version
	Status  string `json:"status"`
	Reason  string `json:"reason,omitempty"`
	Active  bool   `json:"active"`
}

// Status reports what runs and what is being rolled out. It changes nothing and needs no lock.
func Status(ctx context.Context, o Options) (Report, error) {
	c := newController(o, Target{})
	if err := c.journal.read(ctx); err != nil {
		return Report{}, err
	}
	if _, err := c.describe(ctx); err != nil {
		return Report{}, err
	}
	out := Report{Record: c.journal.latest()}
	for _, g := range c.groups {
		known, err := c.observe.templates(ctx, g, g.version)
		if err != nil {
			return Report{}, err
		}
		one := GroupReport{Role: g.role, Name: g.Name, Version: g.version, Release: known[g.version].release, Minimum: g.min,
			Instances: map[string]InstanceReport{}, Suspended: g.suspended}
		for _, i := range g.instances {
			one.Instances[i.id] = InstanceReport{i.version, string(i.state), i.healthy}
		}
		if len(g.refreshes) > 0 {
			f := g.refreshes[0]
			one.Refresh = &RefreshReport{f.version(), string(f.Status), aws.ToString(f.StatusReason), !f.ended()}
		}
		out.Groups = append(out.Groups, one)
	}
	return out, nil
}

// To rolls out a release that was deployed before, given by its hash or a unique prefix, with the newest launch
// template version of each role that starts it. For an older release it is a manual rollback: alarms and the smoke test
// are ignored, and the release that runs now is blocked.
func To(ctx context.Context, o Options, release string) (Outcome, error) {
	c := newController(o, Target{})
	if _, err := c.describe(ctx); err != nil {
		return "", err
	}
	want := Target{Versions: map[settings.Role]string{}}
	older := false
	for _, g := range c.groups {
		known, err := c.observe.templates(ctx, g)
		if err != nil {
			return "", err
		}
		t, err := pick(known, release)
		if err != nil {
			return "", fmt.Errorf("launch template %s of the %ss: %w", g.template, g.role, err)
		}
		if want.Release != "" && want.Release != t.release {
			return "", fmt.Errorf("%q is the prefix of several releases: give more of it", release)
		}
		want.Release, want.Versions[g.role] = t.release, t.number
		older = older || olderThan(known, t, g.version)
	}
	if o.Why = "to " + short(want.Release); older {
		o.IgnoreAlarms, o.Smoke = true, nil // the running release has failed already, which is why it is rolled back
		o.Block = "rolled back by hand to " + short(want.Release)
	}
	return Run(ctx, o, want)
}

// olderThan reports whether a template is older than the version that a group has: by its number, or because its
// release had an older number first and got a new one, by a revert for example.
func olderThan(known map[string]template, t template, version string) bool {
	first := func(release string) (oldest int) {
		for _, n := range numbersDown(known) {
			if known[n].release == release {
				oldest = number(n)
			}
		}
		return oldest
	}
	running := known[version].release
	return number(t.number) < number(version) || running != "" && first(t.release) < first(running)
}

// pick returns the newest version of the only release whose hash begins with release.
func pick(known map[string]template, release string) (template, error) {
	var found template
	for _, number := range numbersDown(known) {
		t := known[number]
		if t.release == "" || release == "" || !strings.HasPrefix(t.release, strings.ToLower(release)) {
			continue
		}
		if found = cmp.Or(found, t); found.release != t.release {
			return found, fmt.Errorf("%q is the prefix of several releases: give more of it", release)
		}
	}
	if found.release == "" {
		return found, fmt.Errorf("no version starts release %q", release)
	}
	return found, nil
}

// Whoami returns user@host of this process, for the record.
func Whoami() string {
	u, err := user.Current()
	if err != nil {
		u = &user.User{Username: "unknown"}
	}
	host, _ := os.Hostname()
	return u.Username + "@" + cmp.Or(host, "unknown")
}

// ErrNothing is returned when there is no rollout to abort.
var ErrNothing = errors.New("nothing is being rolled out")

// Abort rolls back the rollout in progress, and returns when both groups have the old release. If another run has the
// lock, Abort requests the rollback from it, and rolls back itself once the lock of that run has expired. By is the
// user@host of the run that rolled back. It returns ErrNothing if there is no rollout.
func Abort(ctx context.Context, o Options) (by string, err error) {
	for {
		c := newController(o, Target{})
		err := c.locked(ctx, "abort", func(ctx context.Context) error {
			if _, err := c.describe(ctx); err != nil {
				return err
			}
			return c.conclude(ctx, c.abort(ctx))
		})
		var held *HeldError
		if !errors.As(err, &held) {
			return o.By, err
		}
		ended, err := c.requestAbort(ctx, held.Lock.Holder)
		if ended || err != nil {
			return held.Lock.Holder, err
		}
	}
}

// abort rolls back under the lock.
func (c *controller) abort(ctx context.Context) error {
	e := c.journal.latest().Current()
	if e == nil {
		if c.workers.refresh() == nil && c.servers.refresh() == nil {
			return ErrNothing
		}
		return c.rollBackUnrecorded(ctx) // no version is wanted, so that every refresh is rolled back
	}
	c.want, c.firstDeploy, c.entry = Target{Release: e.Release}, len(e.Old) == 0, *e
	why := &Error{Reason: c.By + " aborted it"}
	if e.Result == record.RollingBack { // it has failed already
		why = recordedFailure(e)
	}
	err := c.rollBack(ctx, why)
	if rec := c.journal.latest(); rec.Current() == nil && !why.stuck && rec.Entries[0].Result != record.Failed {
		c.log("%s", why.Outcome)
		return nil
	}
	return err
}

// requestAbort records an abort, which the run with the lock reads at its next renewal, within half a minute, and has
// AWS begin the rollback at once. It returns when the rollout has ended, or, not ended, when the lock has expired.
func (c *controller) requestAbort(ctx context.Context, holder string) (ended bool, err error) {
	if err := c.journal.edit(ctx, func(rec *record.Record) error {
		if rec.Current() == nil {
			return ErrNothing
		}
		rec.Abort = &record.Abort{By: c.By, Since: time.Now().UTC()}
		return nil
	}); err != nil {
		return false, err
	}
	if _, err := c.describe(ctx); err != nil {
		return false, err
	}
	rec := c.journal.latest()
	for _, g := range c.groups {
		// A rollback in progress is left alone.
		if f := g.refresh(); f != nil && f.forward() && f.version() != rec.Entries[0].Old[g.role] {
			if err := c.act.rollBackWithoutLock(ctx, g); err != nil {
				return false, err
			}
		}
	}
	c.log("%s holds the rollout lock and is asked to roll back", holder)
	err = c.poll(ctx, func() (bool, error) {
		if err := c.journal.read(ctx); err != nil {
			return false, err
		}
		now := c.journal.latest()
		e := now.Newest(func(e record.Entry) bool { return e.Begin.Equal(rec.Entries[0].Begin) })
		if e != nil && e.Result == record.Successful {
			return false, &rejected{"too late, the rollout has succeeded: roll back with imagery rollout to RELEASE"}
		}
		ended = e == nil || !e.Result.Open()
		return ended || !now.Lock.Live(time.Now()), nil
	})
	return ended, err
}

// Resume resumes every suspended process of both groups, and returns what it resumed, as group/process.
func Resume(ctx context.Context, o Options) (resumed []string, err error) {
	c := newController(o, Target{})
	err = c.locked(ctx, "resume", func(ctx context.Context) error {
		if _, err := c.describe(ctx); err != nil {
			return err
		}
		for _, g := range c.groups {
			names := slices.Sorted(maps.Keys(g.suspended))
			if len(names) == 0 {
				continue
			}
			if err := c.act.resume(ctx, g, names); err != nil {
				return err
			}
			for _, p := range names {
				resumed = append(resumed, g.Name+"/"+p)
			}
		}
		return c.journal.editLocked(ctx, func(rec *record.Record) { rec.Paused = nil })
	})
	return resumed, err
}
