package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const aboutStatus = `Shows on one screen how the service is: the fleet with the release of each instance, the rollout, the queue, the oldest
unfinished image, and the alarms that ring.

With --stack, or the flags and --stack, that is a stack on AWS; else it is the fleet on a data folder. A part that cannot be
read says why on one line, and the others are shown all the same; only when nothing can be read at all is that a failure.

--watch shows it again and again until Ctrl-C: in place on a terminal, and one below the other into a file or a pipe.`

const (
	// statusBound is how long one look may take; what has not answered by then has a problem.
	statusBound = 15 * time.Second
	// leastEvery spares the services that are asked: they count calls, and some cost money.
	leastEvery = time.Second
)

// overview is the whole screen.
type overview struct {
	At      time.Time   `json:"at"`
	Place   string      `json:"place"` // a stack and its region, or a data folder
	Fleet   fleetPart   `json:"fleet"`
	Rollout rolloutPart `json:"rollout"`
	Queue   queuePart   `json:"queue"`
	Oldest  oldestPart  `json:"oldestUnfinished"`
	Alarms  alarmsPart  `json:"alarms"`
}

// part is what each part has beside its facts.
type part struct {
	// Problem is why nothing is known about it; empty if something is.
	Problem string `json:"problem,omitempty"`
	failed  bool   // it should be known: the problem is no mere absence
}

// absent is a part that does not exist here.
func absent(why string) part { return part{Problem: why} }

// broken is a part that could not be read.
func broken(err error) part { return part{Problem: oneLine(say(err)), failed: true} }

// status is the verb.
func status(fs *flag.FlagSet) func(context.Context, Call) error {
	watch := fs.Bool("watch", false, "show it again and again")
	every := fs.Duration("every", 5*time.Second, "with --watch: how `long` to pause in between")
	asJSON := jsonFlag(fs)
	return func(ctx context.Context, c Call) (err error) {
		if err := c.noArgs(); err != nil {
			return err
		}
		if *every < leastEvery {
			return usage("--every %s is below %s", *every, leastEvery)
		}
		l, err := c.look(ctx)
		if err != nil {
			return errors.Join(interrupted(ctx), err)
		}
		defer func() { err = errors.Join(err, l.Close()) }()
		show := Console.overview
		if *asJSON {
			show = func(c Console, o overview) error { return c.document(o) }
			c.Screen = false
		}
		if *watch {
			return l.watch(ctx, *every, func(o overview, first bool) error {
				return c.refresh(first, func(c Console) error { return show(c, o) })
			})
		}
		o := l.collect(ctx)
		return errors.Join(show(c.Console, o), interrupted(ctx), o.verdict())
	}
}

// look is where the screen comes from.
type look struct {
	place
	Backend
	cfg aws.Config // zero on a data folder
}

// look opens what the settings, or the stack, select.
func (c Call) look(ctx context.Context) (l look, err error) {
	if l.place, err = c.place(ctx); err != nil {
		return l, err
	}
	if l.OnAWS() {
		if l.cfg, err = l.aws(ctx); err != nil {
			return l, err
		}
	}
	l.Backend, err = c.Open(ctx, l.Settings, l.out.Region)
	return l, err
}

// collect asks for all parts side by side.
func (l look) collect(ctx context.Context) overview {
	ctx, cancel := context.WithTimeout(ctx, statusBound)
	defer cancel()
	o := overview{At: l.Service.Now().UTC().Truncate(time.Second), Place: l.where()}
	var all sync.WaitGroup
	all.Go(func() { o.Queue = l.queue(ctx) })
	all.Go(func() { o.Oldest = l.oldest(ctx) })
	all.Go(func() { o.Alarms = l.alarms(ctx) })
	if l.OnAWS() {
		var releases map[string]string
		var both sync.WaitGroup
		both.Go(func() { o.Rollout, releases = l.rollout(ctx) })
		both.Go(func() { o.Fleet = l.groups(ctx) })
		both.Wait()
		o.Fleet.name(releases, l.out)
	} else {
		o.Fleet, o.Rollout = l.processes(ctx), rolloutPart{part: absent("none: a local fleet runs the binary that it was started from")}
	}
	all.Wait()
	return o
}

func (l look) where() string {
	if !l.OnAWS() {
		if dir, err := filepath.Abs(l.Data); err == nil {
			return dir
		}
		return l.Data
	}
	if l.Stack == noStack {
		return "table " + l.Table + ", " + l.cfg.Region
	}
	return "stack " + l.Stack + ", " + l.cfg.Region
}

// verdict is the error of a service of which nothing can be seen.
func (o overview) verdict() error {
	first := ""
	for _, p := range []part{o.Queue.part, o.Oldest.part, o.Fleet.part, o.Rollout.part, o.Alarms.part} {
		if p.Problem == "" {
			return nil
		}
		if p.failed && first == "" {
			first = p.Problem
		}
	}
	return fmt.Errorf("nothing of %s can be read: %s", o.Place, first)
}

// watch shows the screen until somebody stops it, which is no failure.
func (l look) watch(ctx context.Context, every time.Duration, show func(o overview, first bool) error) error {
	for first := true; ; first = false {
		o := l.collect(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := show(o, first); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// refresh writes a page over the one before, where that is possible, and else below it.
func (c Console) refresh(first bool, page func(Console) error) error {
	var b bytes.Buffer
	to := c
	to.Out = &b
	if err := page(to); err != nil {
		return err
	}
	text := b.String()
	if c.Screen {
		// Each line is cleared before it is written over: clearing all at once would flicker, and clearing behind a
		// line that fills the terminal takes its last letter.
		text = "\x1b[H\x1b[K" + strings.ReplaceAll(text, "\n", "\n\x1b[K") + "\x1b[J"
		if first {
			text = "\x1b[2J" + text
		}
	} else if !first {
		text = "\n" + text
	}
	_, err := c.Out.Write([]byte(text))
	return err
}
