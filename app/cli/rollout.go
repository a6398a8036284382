package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"

	"imagery/app/deploy/rollout"
	"imagery/app/deploy/settings"
)

const (
	aboutRolloutStatus = `Show the releases of a stack: what runs, what is being rolled out, and the last rollouts`
	aboutRolloutTo     = `Roll out a release that ran before, by the beginning of its hash

Rolling out an older release is the manual rollback: no alarm and no smoke test judges it, and the release that it
replaces is blocked.`
	aboutRolloutAbort  = `Roll back the rollout in progress`
	aboutRolloutResume = `Resume the suspended processes of both Auto Scaling groups`
)

const rolloutFlags = "--region, --table, --server-group and --worker-group"

// rolloutCmd returns the Setup of a command of the group rollout. All of them have the same flags and use the code that
// pulumi up uses. Without guards no alarm stops a rollout; the health checks of AWS still do.
func rolloutCmd(run func(context.Context, Invocation, rollout.Options) error) func(
	*flag.FlagSet) func(context.Context, Invocation) error {
	return func(fs *flag.FlagSet) func(context.Context, Invocation) error {
		stack := fs.String("stack", "", "Pulumi `stack` whose outputs name the resources (default: the selected one)")
		profile := fs.String("profile", "", "AWS credentials `profile` (default: that of the environment)")
		force := fs.Bool("force", false, "also roll out a release that is blocked or failed before, and during an alarm")
		// The default is that of imagery:bakeSeconds.
		bake := fs.Duration("bake", 3*time.Minute, "how long a group is watched after it is replaced")
		given := outputs{GuardAlarms: map[string][]string{}} // by flags, on a machine without the pulumi program
		fs.StringVar(&given.Region, "region", "", "AWS `region`, without --stack")
		fs.StringVar(&given.Table, "table", "", "the `table` of images, without --stack")
		fs.StringVar(&given.ServerGroup, "server-group", "", "Auto Scaling `group` of the servers, without --stack")
		fs.StringVar(&given.WorkerGroup, "worker-group", "", "Auto Scaling `group` of the workers, without --stack")
		fs.StringVar(&given.BalancerURL, "url", "",
			"`address` of the service, for the smoke test, without --stack; empty: no smoke test")
		for _, role := range roles {
			about := "`alarms` that judge a release of the " + role + "s, separated by commas, without --stack"
			fs.Func(role+"-guards", about, func(s string) error {
				given.GuardAlarms[role] = strings.Split(s, ",")
				return nil
			})
		}
		return func(ctx context.Context, inv Invocation) error {
			t, err := given.orOf(ctx, *stack)
			if err != nil {
				return err
			}
			aws, err := config.LoadDefaultConfig(ctx, config.WithRegion(t.Region), config.WithSharedConfigProfile(*profile))
			if err != nil {
				return fmt.Errorf("find credentials: %w", err)
			}
			var mu sync.Mutex
			o := rollout.Options{Clients: rollout.NewClients(aws), Table: t.Table, By: rollout.Whoami(), Bake: *bake,
				Groups: map[settings.Role]rollout.Group{
					settings.Server: {Name: t.ServerGroup, Alarms: t.GuardAlarms[string(settings.Server)]},
					settings.Worker: {Name: t.WorkerGroup, Alarms: t.GuardAlarms[string(settings.Worker)]}},
				Force: *force, Log: func(line string) { // progress, so that the result stands alone in Out
					mu.Lock()
					defer mu.Unlock()
					fmt.Fprintln(inv.Err, line)
				}}
			if t.BalancerURL != "" { // only a roll forward runs it
				o.Smoke = rollout.SmokeAt(t.BalancerURL, o.Log)
			}
			return run(ctx, inv, o)
		}
	}
}

// orOf returns o, or the outputs of the stack if o names no resources; an empty stack is the selected one. The flags
// name all resources or none, since the outputs may be those of another stack.
func (o outputs) orOf(ctx context.Context, stack string) (outputs, error) {
	complete := func(o outputs) bool {
		return o.Region != "" && o.Table != "" && o.ServerGroup != "" && o.WorkerGroup != ""
	}
	if complete(o) {
		return o, nil
	}
	if o.Region+o.Table+o.ServerGroup+o.WorkerGroup != "" {
		return o, usage("%s go together: give all four, or --stack", rolloutFlags)
	}
	o, err := readOutputs(ctx, "read the outputs of the stack", rolloutFlags, stack)
	if err == nil && !complete(o) {
		err = errors.New("the stack has no outputs of imagery: was it ever deployed? Run pulumi up")
	}
	return o, err
}

// rolloutStatus takes no lock and may run beside a rollout.
func rolloutStatus(ctx context.Context, inv Invocation, o rollout.Options) error {
	report, err := rollout.Status(ctx, o)
	if err != nil {
		return err
	}
	if inv.JSON {
		return inv.printJSON(report)
	}
	return inv.rolloutReport(report, time.Now())
}

func rolloutTo(ctx context.Context, inv Invocation, o rollout.Options) error {
	did, err := rollout.To(ctx, o, inv.Args[0])
	return inv.rolloutOutcome(fmt.Sprintf("release %s %s", inv.Args[0], did), err)
}

func rolloutAbort(ctx context.Context, inv Invocation, o rollout.Options) error {
	by, err := rollout.Abort(ctx, o)
	if by != o.By {
		return inv.rolloutOutcome("rolled back by "+by+", who runs the rollout", err)
	}
	return inv.rolloutOutcome("rolled back", err)
}

func rolloutResume(ctx context.Context, inv Invocation, o rollout.Options) error {
	resumed, err := rollout.Resume(ctx, o)
	if len(resumed) == 0 {
		return inv.rolloutOutcome("nothing is suspended", err)
	}
	return inv.rolloutOutcome("resumed "+strings.Join(resumed, ", "), err)
}

// rolloutOutcome prints the outcome of a command, with --json as one document.
func (inv Invocation) rolloutOutcome(text string, err error) error {
	if inv.JSON {
		if err != nil {
			text = err.Error()
		}
		return errors.Join(json.NewEncoder(inv.Out).Encode(map[string]any{"ok": err == nil, "outcome": text}), err)
	}
	if err == nil {
		fmt.Fprintln(inv.Out, text)
	}
	return err
}

// shownRollouts limits the rollouts that are printed as text; the JSON document has all of them.
const shownRollouts = 10

// rolloutReport prints the groups, the lock, the blocked releases and the last rollouts.
func (c Console) rolloutReport(r rollout.Report, now time.Time) error {
	for _, g := range r.Groups {
		fmt.Fprintf(c.Out, "%s: release %s, version %s, %s\n", g.Role, short(g.Release), g.Version, instanceCounts(g))
		for _, process := range slices.Sorted(maps.Keys(g.Suspended)) {
			fmt.Fprintf(c.Out, "  process %s is suspended: %s\n", process, g.Suspended[process])
		}
		if f := g.Refresh; f != nil && f.Active {
			fmt.Fprintf(c.Out, "  being replaced by version %s: %s %s\n", f.Version, f.Status, f.Reason)
		}
	}
	if l := r.Record.Lock; l.Live(now) {
		fmt.Fprintf(c.Out, "%s has held the lock since %s: %s\n", l.Holder, formatTime(l.Since), l.Why)
	} else if e := r.Record.Current(); e != nil {
		fmt.Fprintf(c.Out, "the rollout of %s that %s began on %s was interrupted: "+
			"finish it with pulumi up, or roll it back with imagery rollout abort\n",
			short(e.Release), e.By, formatTime(e.Begin))
	}
	for _, release := range slices.Sorted(maps.Keys(r.Record.Blocked)) {
		b := r.Record.Blocked[release]
		fmt.Fprintf(c.Out, "release %s is blocked by %s since %s: %s\n", short(release), b.By, formatTime(b.Since), b.Why)
	}
	rows := [][]string{{"BEGAN", "TOOK", "RELEASE", "FROM", "BY", "RESULT", "REASON"}}
	for _, e := range r.Record.Entries[:min(shownRollouts, len(r.Record.Entries))] {
		rows = append(rows, []string{formatTime(e.Begin), e.Took(now).Round(time.Second).String(), short(e.Release),
			short(cmp.Or(e.From, "-")), e.By, string(e.Result), e.Reason})
	}
	fmt.Fprintln(c.Out)
	return c.table(rows)
}

// instanceCounts counts the instances of a group by version and state.
func instanceCounts(g rollout.GroupReport) string {
	counts := map[string]int{}
	for _, i := range g.Instances {
		text := "version " + i.Version + " " + i.State
		if !i.Healthy {
			text += " (unhealthy)"
		}
		counts[text]++
	}
	var parts []string
	for _, text := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d of %s", counts[text], text))
	}
	return cmp.Or(strings.Join(parts, ", "), "no instance")
}
