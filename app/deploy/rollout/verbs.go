package rollout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

// To rolls out a release that was here before, named by its hash or the beginning of it, under the newest launch
// template version of each role that starts it. To an older release it is the rollback by hand: nothing judges that
// but the instances themselves, and the release that is left is held.
func To(ctx context.Context, o Options, release string) (Outcome, error) {
	r := &run{Options: o}
	if _, err := r.describe(ctx); err != nil {
		return "", err
	}
	want := Target{Versions: map[settings.Role]string{}}
	older := false
	for _, role := range Order {
		g := r.groups[role]
		known, err := r.templates(ctx, g)
		if err != nil {
			return "", err
		}
		t, err := pick(known, release)
		if err != nil {
			return "", fmt.Errorf("launch template %s of the %ss: %w", g.template, role, err)
		}
		if want.Release != "" && want.Release != t.release {
			return "", fmt.Errorf("%q is the beginning of several releases: give more of it", release)
		}
		want.Release, want.Versions[role] = t.release, t.number
		older = older || olderThan(known, t, g.version)
	}
	if o.Why = "to " + short(want.Release); older {
		o.Blind, o.Smoke = true, nil // it is red and smokes already, that is why somebody goes back
		o.Hold = "rolled back by hand to " + short(want.Release)
	}
	return Run(ctx, o, want)
}

// olderThan reports whether a template comes before the version that a group has: by its number, or because its release
// was there first and got a number of its own again, by a revert for example.
func olderThan(known map[string]template, t template, version string) bool {
	first := func(release string) int {
		numbers := slices.DeleteFunc(numbersDown(known), func(n string) bool { return known[n].release != release })
		if len(numbers) == 0 {
			return 0
		}
		return number(numbers[len(numbers)-1])
	}
	running := known[version].release
	return number(t.number) < number(version) || running != "" && first(t.release) < first(running)
}

func number(version string) int { n, _ := strconv.Atoi(version); return n }

// pick finds, among the versions of a template, the newest version of the one release that begins so.
func pick(known map[string]template, release string) (template, error) {
	var found []template
	for _, number := range numbersDown(known) {
		if t := known[number]; t.release != "" && release != "" && strings.HasPrefix(t.release, strings.ToLower(release)) {
			found = append(found, t)
		}
	}
	if len(found) == 0 {
		return template{}, fmt.Errorf("no version starts release %q", release)
	}
	if slices.ContainsFunc(found, func(t template) bool { return t.release != found[0].release }) {
		return template{}, fmt.Errorf("%q is the beginning of several releases: give more of it", release)
	}
	return found[0], nil
}

// Whoami is whoever runs this process, user@host, for the record.
func Whoami() string {
	name, host := "somebody", "somewhere"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return name + "@" + host
}

// ErrNothing is returned when there is no rollout to abort.
var ErrNothing = errors.New("nothing is being rolled out")

// Abort takes back what is being rolled out, and returns when it is back. If somebody drives it, that one is told and
// does it; else, or if that one turns out to be dead, it is done here. By says who did it.
func Abort(ctx context.Context, o Options) (by string, err error) {
	for {
		by, err = abortOnce(ctx, o)
		if !errors.Is(err, errHolderGone) {
			return by, err
		}
	}
}

// errHolderGone is that of a holder whose lock ended while its rollout did not.
var errHolderGone = errors.New("whoever drove the rollout is gone")

func abortOnce(ctx context.Context, o Options) (by string, err error) {
	r := newRun(o, Target{})
	err = r.locked(ctx, "abort", func(ctx context.Context) error {
		if _, err := r.describe(ctx); err != nil {
			return err
		}
		return r.conclude(ctx, r.abort(ctx))
	})
	var held *HeldError
	if errors.As(err, &held) {
		return held.Lock.Holder, r.tellHolder(ctx, held.Lock.Holder)
	}
	return o.By, err
}

// abort goes back, under the lock.
func (r *run) abort(ctx context.Context) error {
	rec := r.journal.now()
	e := rec.Current()
	if e == nil {
		busy := slices.ContainsFunc(slices.Collect(maps.Values(r.groups)), func(g *group) bool { return g.active() != nil })
		if !busy {
			return ErrNothing
		}
		return r.clear(ctx) // nothing is wanted, so every refresh is in the way
	}
	r.want, r.old, r.from, r.fresh = Target{Release: e.Release}, roles(e.Old), e.From, len(e.Old) == 0
	why := &failure{reason: r.By + " aborted it"}
	if e.Result == record.RollingBack { // it has a reason already
		why = again(e)
	}
	var out *Error
	err := r.goBack(ctx, why)
	if rec := r.journal.now(); errors.As(err, &out) && rec.Entries[0].Result != record.Failed {
		r.say("%s", out.Outcome)
		return nil
	}
	return err
}

// tellHolder asks whoever holds the lock to go back, who sees it at the next renewal, within half a minute, and has
// AWS begin at once. It returns when the rollout is over; a holder that is dead never ends it, but its lock does.
func (r *run) tellHolder(ctx context.Context, holder string) error {
	if err := r.journal.edit(ctx, func(rec *record.Record) error {
		if rec.Current() == nil {
			return ErrNothing
		}
		rec.Abort = &record.Abort{By: r.By, Since: time.Now().UTC()}
		return nil
	}); err != nil {
		return err
	}
	if _, err := r.describe(ctx); err != nil {
		return err
	}
	rec := r.journal.now()
	for _, role := range Order {
		g := r.groups[role]
		// Not what is on its way back already.
		if f := g.active(); f != nil && f.forward() && f.version() != rec.Entries[0].Old[string(role)] {
			if err := r.undo(ctx, g); err != nil {
				return err
			}
		}
	}
	r.say("%s drives the rollout and is told to take it back", holder)
	gone := false
	err := r.poll(ctx, func() (bool, error) {
		if err := r.journal.read(ctx); err != nil {
			return false, err
		}
		now := r.journal.now()
		n := slices.IndexFunc(now.Entries, func(e record.Entry) bool { return e.Begin.Equal(rec.Entries[0].Begin) })
		switch {
		case n >= 0 && now.Entries[n].Result == record.Successful:
			return false, &rejected{"too late, the rollout was through first: go back by imagery rollout to RELEASE"}
		case n < 0 || !now.Entries[n].Result.Open():
			return true, nil
		}
		gone = !now.Lock.Live(time.Now())
		return gone, nil
	})
	if err == nil && gone {
		return errHolderGone
	}
	return err
}

// Report is what Status finds.
type Report struct {
	Record record.Record `json:"record"`
	Groups []GroupReport `json:"groups"`
}

// GroupReport is one group.
type GroupReport struct {
	Role    settings.Role `json:"role"`
	Name    string        `json:"name"`
	Version string        `json:"version"` // of the launch template, that the group is told to launch
	Release string        `json:"release"` // that this version starts; empty: unknown
	Minimum int           `json:"minimum"`
	// Instances by id: version and state.
	Instances map[string]InstanceReport `json:"instances"`
	Refresh   *RefreshReport            `json:"refresh,omitempty"` // the newest, if there is one
	// Suspended maps the processes of the group that are suspended to the reason of each.
	Suspended map[string]string `json:"suspended,omitempty"`
}

// InstanceReport is one instance.
type InstanceReport struct {
	Version string `json:"version"`
	State   string `json:"state"` // of its life cycle
	Healthy bool   `json:"healthy"`
}

// RefreshReport is an instance refresh.
type RefreshReport struct {
	Version string `json:"version"` // where it leads
	Status  string `json:"status"`
	Reason  string `json:"reason,omitempty"`
	Active  bool   `json:"active"`
}

// Status says what runs and what is being done about it. It changes nothing and needs no lock.
func Status(ctx context.Context, o Options) (Report, error) {
	r := &run{Options: o, journal: newJournal(o.Clients, o.Table)}
	if err := r.journal.read(ctx); err != nil {
		return Report{}, err
	}
	if _, err := r.describe(ctx); err != nil {
		return Report{}, err
	}
	out := Report{Record: r.journal.now()}
	for _, role := range Order {
		g := r.groups[role]
		known, err := r.templates(ctx, g, g.version)
		if err != nil {
			return Report{}, err
		}
		one := GroupReport{Role: role, Name: g.Name, Version: g.version, Release: known[g.version].release, Minimum: g.min,
			Instances: map[string]InstanceReport{}, Suspended: g.suspended}
		for _, i := range g.instances {
			one.Instances[i.id] = InstanceReport{i.version, string(i.state), i.healthy}
		}
		if len(g.refreshes) > 0 {
			f := g.refreshes[0]
			one.Refresh = &RefreshReport{f.version(), string(f.Status), deref(f.StatusReason), !f.ended()}
		}
		out.Groups = append(out.Groups, one)
	}
	return out, nil
}
