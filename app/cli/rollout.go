package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"

	"imagery/app/deploy/rollout"
)

const (
	aboutRolloutStatus = `Show the releases of a stack: what runs, what is being rolled out, and the last rollouts`
	aboutRolloutTo     = `Roll out a release that ran before, by the beginning of its hash

Rolling out an older release is the manual rollback: no alarm and no smoke test judges it, and the release that it
replaces is blocked.`
	aboutRolloutAbort  = `Roll back the rollout in progress`
	aboutRolloutResume = `Resume the suspended processes of both Auto Scaling groups`
)

// rolloutCmd is a command of the group rollout. All of them have the same flags and use the code that pulumi up uses.
type rolloutCmd struct {
	stack, profile string
	force          bool
	bake           time.Duration
	given          rolloutTarget // by flags
}

// newRolloutCmd defines the flags. The default of --bake is that of imagery:bakeSeconds.
func newRolloutCmd(fs *flag.FlagSet) *rolloutCmd {
	c := &rolloutCmd{}
	fs.StringVar(&c.stack, "stack", "", "Pulumi `stack` whose outputs name the resources (default: the selected one)")
	fs.StringVar(&c.profile, "profile", "", "AWS credentials `profile` (default: that of the environment)")
	fs.BoolVar(&c.force, "force", false, "also roll out a release that is blocked or failed before, and during an alarm")
	fs.DurationVar(&c.bake, "bake", 3*time.Minute, "how long a group is watched after it is replaced")
	c.given.flags(fs)
	return c
}

// options finds the stack and returns the options of a rollout. Progress is printed to Err, so that the result stands
// alone in Out.
func (c *rolloutCmd) options(ctx context.Context, inv Invocation) (o rollout.Options, err error) {
	t, err := c.given.resolve(ctx, c.stack)
	if err != nil {
		return o, err
	}
	aws, err := config.LoadDefaultConfig(ctx, config.WithRegion(t.Region), config.WithSharedConfigProfile(c.profile))
	if err != nil {
		return o, fmt.Errorf("find credentials: %w", err)
	}
	var mu sync.Mutex
	o = rollout.Options{
		Clients: rollout.NewClients(aws), Table: t.Table, Groups: t.groups(),
		By: rollout.Whoami(), Bake: c.bake, Force: c.force, Log: func(line string) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintln(inv.Err, line)
		},
	}
	if t.URL != "" { // only a roll forward runs it
		o.Smoke = rollout.SmokeAt(t.URL, o.Log)
	}
	return o, nil
}

// rolloutStatusCmd is the command rollout status. It takes no lock and may run beside a rollout.
func rolloutStatusCmd(fs *flag.FlagSet) func(context.Context, Invocation) error {
	c := newRolloutCmd(fs)
	return func(ctx context.Context, inv Invocation) error {
		o, err := c.options(ctx, inv)
		if err != nil {
			return err
		}
		report, err := rollout.Status(ctx, o)
		if err != nil {
			return err
		}
		if inv.JSON {
			return inv.printJSON(report)
		}
		printRollout(inv.Out, report, time.Now())
		return nil
	}
}

// rolloutToCmd is the command rollout to.
func rolloutToCmd(fs *flag.FlagSet) func(context.Context, Invocation) error {
	c := newRolloutCmd(fs)
	return func(ctx context.Context, inv Invocation) error {
		release, err := inv.oneArg("release, by the beginning of its hash")
		if err != nil {
			return err
		}
		return c.run(ctx, inv, func(o rollout.Options) (string, error) {
			did, err := rollout.To(ctx, o, release)
			return fmt.Sprintf("release %s %s", release, did), err
		})
	}
}

// rolloutAbortCmd is the command rollout abort.
func rolloutAbortCmd(fs *flag.FlagSet) func(context.Context, Invocation) error {
	c := newRolloutCmd(fs)
	return func(ctx context.Context, inv Invocation) error {
		return c.run(ctx, inv, func(o rollout.Options) (string, error) {
			by, err := rollout.Abort(ctx, o)
			if by != o.By {
				return "rolled back by " + by + ", who runs the rollout", err
			}
			return "rolled back", err
		})
	}
}

// rolloutResumeCmd is the command rollout resume.
func rolloutResumeCmd(fs *flag.FlagSet) func(context.Context, Invocation) error {
	c := newRolloutCmd(fs)
	return func(ctx context.Context, inv Invocation) error {
		return c.run(ctx, inv, func(o rollout.Options) (string, error) {
			resumed, err := rollout.Resume(ctx, o)
			if len(resumed) == 0 {
				return "nothing is suspended", err
			}
			return "resumed " + strings.Join(resumed, ", "), err
		})
	}
}

// run calls act and prints its outcome, with --json as one document.
func (c *rolloutCmd) run(ctx context.Context, inv Invocation, act func(rollout.Options) (string, error)) error {
	o, err := c.options(ctx, inv)
	if err != nil {
		return err
	}
	text, err := act(o)
	if inv.JSON {
		doc := map[string]any{"ok": err == nil, "outcome": text}
		if err != nil {
			doc["outcome"] = err.Error()
		}
		return errors.Join(json.NewEncoder(inv.Out).Encode(doc), err)
	}
	if err == nil {
		fmt.Fprintln(inv.Out, text)
	}
	return err
}
