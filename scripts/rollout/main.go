// Command rollout looks at the releases of a stack and moves them by hand, with the code that `pulumi up` uses:
//
//	go run ./scripts/rollout status
//	go run ./scripts/rollout to 0123abcd
//	go run ./scripts/rollout abort
//	go run ./scripts/rollout resume
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"

	"imagery/app/deploy/rollout"
)

const help = `Usage: rollout VERB [flags]

  status        what runs in both groups, what is being done about it, and how the last rollouts ended
  to RELEASE    roll out a release that was here before, by the beginning of its hash; to an older one this is the
                rollback by hand: no alarm and no smoke judges it, and the release that is left is held
  abort         take back what is being rolled out
  resume        resume the suspended processes of both Auto Scaling groups

Flags:
`

// usageError is one of whoever typed it.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main with its exit code as a value: 0 done, 1 a failure, 2 bad usage.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	err := do(ctx, args, out, errs)
	var usage usageError
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		fmt.Fprintln(errs, err)
		return 2
	}
	fmt.Fprintln(errs, err)
	return 1
}

// call is what somebody typed. The defaults are those of imagery:bakeSeconds and of the credentials' own chain.
type call struct {
	stack, profile string
	json, force    bool
	bake           time.Duration
	given          place // by flags
	words          []string
}

// parse reads the line. It knows nothing of a verb but how many words it takes.
func parse(args []string, errs io.Writer) (*call, error) {
	c := &call{}
	f := flag.NewFlagSet("rollout", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&c.stack, "stack", "", "Pulumi `stack` whose outputs say where everything is (default: the selected one)")
	f.StringVar(&c.profile, "profile", "", "credentials `profile` (default: that of the environment)")
	f.BoolVar(&c.json, "json", false, "print one JSON document instead of text")
	f.BoolVar(&c.force, "force", false, "also what is held or failed before, and while an alarm rings")
	f.DurationVar(&c.bake, "bake", 3*time.Minute, "how long a group is watched when it is replaced")
	c.given.flags(f)
	// Flags may stand before and behind the words.
	for len(args) > 0 {
		if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(errs, help)
			f.SetOutput(errs)
			f.PrintDefaults()
			return nil, err
		} else if err != nil {
			return nil, usageError{fmt.Errorf("%w (see -h)", err)}
		}
		if args = f.Args(); len(args) > 0 {
			c.words, args = append(c.words, args[0]), args[1:]
		}
	}
	want := map[string]int{"status": 1, "to": 2, "abort": 1, "resume": 1}
	switch {
	case len(c.words) == 0 || want[c.words[0]] == 0:
		return nil, usageError{errors.New("say status, to RELEASE, abort or resume (see -h)")}
	case len(c.words) != want[c.words[0]]:
		return nil, usageError{fmt.Errorf("%s takes %d words, not %d (see -h)", c.words[0], want[c.words[0]]-1, len(c.words)-1)}
	}
	return c, nil
}

// do runs one verb. Its error is printed, and is a usageError if nothing was asked of AWS because of it.
func do(ctx context.Context, args []string, out, errs io.Writer) error {
	c, err := parse(args, errs)
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
	log := lines(errs)
	o := rollout.Options{Clients: rollout.NewClients(aws), Table: at.Table, Groups: at.groups(), By: rollout.Whoami(), Bake: c.bake, Force: c.force, Log: log}
	switch c.words[0] {
	case "status":
		return status(ctx, o, c.json, out)
	case "to":
		// Only a release that goes forward is tried, see To.
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

// end prints how a verb ended. What happened on the way went to standard error, so that the document stands alone.
func (c *call) end(out io.Writer, text string, err error) error {
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

// lines writes a line at a time, also for several who speak at once.
func lines(w io.Writer) func(string) {
	ch := make(chan struct{}, 1)
	return func(line string) {
		ch <- struct{}{}
		fmt.Fprintln(w, line)
		<-ch
	}
}
