package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"

	"imagery/app/deploy/rollout"
)

const rolloutHelp = `Usage: imagery rollout COMMAND [flags]

Shows the releases of a stack and changes them by hand, with the code that pulumi up uses.

  status        what runs in both groups, what is being done about it, and how the last rollouts ended
  to RELEASE    roll out a release that was here before, by the beginning of its hash; to an older one this is the
                rollback by hand: no alarm and no smoke judges it, and the release that is replaced is held
  abort         take back what is being rolled out
  resume        resume the suspended processes of both Auto Scaling groups

Flags:
`

// rolloutCmd is a parsed command line. The default of bake is that of imagery:bakeSeconds.
type rolloutCmd struct {
	stack, profile string
	json, force    bool
	bake           time.Duration
	given          rolloutTarget // by flags
	words          []string      // the command and its argument
}

// newRolloutCmd returns a command with its flag set.
func newRolloutCmd() (*rolloutCmd, *flag.FlagSet) {
	c := &rolloutCmd{}
	f := flag.NewFlagSet("rollout", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&c.stack, "stack", "", "Pulumi `stack` whose outputs say where everything is (default: the selected one)")
	f.StringVar(&c.profile, "profile", "", "credentials `profile` (default: that of the environment)")
	f.BoolVar(&c.json, "json", false, "print one JSON document instead of text")
	f.BoolVar(&c.force, "force", false, "also roll out a release that is held or failed before, and while an alarm rings")
	f.DurationVar(&c.bake, "bake", 3*time.Minute, "how long a group is watched when it is replaced")
	c.given.flags(f)
	return c, f
}

// RolloutUsage prints the help of imagery rollout.
func RolloutUsage(w io.Writer) {
	_, f := newRolloutCmd()
	fmt.Fprint(w, rolloutHelp)
	f.SetOutput(w)
	f.PrintDefaults()
}

// parseRollout parses the command line. Flags may stand before and behind the command.
func parseRollout(args []string) (*rolloutCmd, error) {
	c, f := newRolloutCmd()
	for len(args) > 0 {
		if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, err
		} else if err != nil {
			return nil, usage("%v; imagery rollout -h lists the flags", err)
		}
		if args = f.Args(); len(args) > 0 {
			c.words, args = append(c.words, args[0]), args[1:]
		}
	}
	want := map[string]int{"status": 1, "to": 2, "abort": 1, "resume": 1}
	switch {
	case len(c.words) == 0 || want[c.words[0]] == 0:
		return nil, usage("say imagery rollout status, to RELEASE, abort or resume; imagery rollout -h explains them")
	case len(c.words) != want[c.words[0]]:
		return nil, usage("imagery rollout %s takes %d words, not %d; imagery rollout -h explains it", c.words[0], want[c.words[0]]-1, len(c.words)-1)
	}
	return c, nil
}

// CheckRollout reports whether the arguments behind `imagery rollout` are well formed, without running anything.
func CheckRollout(args []string) error {
	_, err := parseRollout(args)
	return err
}

// Rollout runs `imagery rollout` with the arguments behind that word. Progress goes to errs, so that the result stands
// alone in out. It returns a *settings.UsageError before AWS is asked anything.
func Rollout(ctx context.Context, args []string, out, errs io.Writer) error {
	c, err := parseRollout(args)
	if errors.Is(err, flag.ErrHelp) {
		RolloutUsage(out)
		return nil
	}
	if err != nil {
		return err
	}
	at, err := c.given.find(ctx, c.stack)
	if err != nil {
		return err
	}
	aws, err := config.LoadDefaultConfig(ctx, config.WithRegion(at.Region), config.WithSharedConfigProfile(c.profile))
	if err != nil {
		return fmt.Errorf("find credentials: %w", err)
	}
	log := lineWriter(errs)
	o := rollout.Options{
		Clients: rollout.NewClients(aws), Table: at.Table, Groups: at.groups(),
		By: rollout.Whoami(), Bake: c.bake, Force: c.force, Log: log,
	}
	switch c.words[0] {
	case "status":
		return rolloutStatus(ctx, o, c.json, out)
	case "to":
		// To runs the smoke test only when it rolls forward.
		if at.URL != "" {
			o.Smoke = rollout.SmokeAt(at.URL, log)
		}
		did, err := rollout.To(ctx, o, c.words[1])
		return c.end(out, fmt.Sprintf("release %s %s", c.words[1], did), err)
	case "resume":
		resumed, err := rollout.Resume(ctx, o)
		text := "nothing is suspended"
		if len(resumed) > 0 {
			text = "resumed " + strings.Join(resumed, ", ")
		}
		return c.end(out, text, err)
	default:
		by, err := rollout.Abort(ctx, o)
		text := "taken back"
		if by != o.By {
			text = "taken back by " + by + ", who drove it"
		}
		return c.end(out, text, err)
	}
}

// end prints the outcome of a command, as one JSON document if that was asked for, and returns err.
func (c *rolloutCmd) end(out io.Writer, text string, err error) error {
	if c.json {
		doc := map[string]any{"ok": err == nil, "outcome": text}
		if err != nil {
			doc["outcome"] = err.Error()
		}
		return errors.Join(json.NewEncoder(out).Encode(doc), err)
	}
	if err == nil {
		fmt.Fprintln(out, text)
	}
	return err
}

// lineWriter returns a function that writes one line to w. It is safe for concurrent use.
func lineWriter(w io.Writer) func(string) {
	ch := make(chan struct{}, 1)
	return func(line string) {
		ch <- struct{}{}
		fmt.Fprintln(w, line)
		<-ch
	}
}
