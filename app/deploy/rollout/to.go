package rollout

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"

	"imagery/app/deploy/settings"
)

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
	var found []template
	for _, number := range numbersDown(known) {
		t := known[number]
		if t.release != "" && release != "" && strings.HasPrefix(t.release, strings.ToLower(release)) {
			found = append(found, t)
		}
	}
	if len(found) == 0 {
		return template{}, fmt.Errorf("no version starts release %q", release)
	}
	if slices.ContainsFunc(found, func(t template) bool { return t.release != found[0].release }) {
		return template{}, fmt.Errorf("%q is the prefix of several releases: give more of it", release)
	}
	return found[0], nil
}

// Whoami returns user@host of this process, for the record.
func Whoami() string {
	name, host := "unknown", "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return name + "@" + host
}
