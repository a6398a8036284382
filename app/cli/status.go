package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"imagery/app/admin/alarms"
	"imagery/app/client"
)

const aboutStatus = `Show the fleet, the rollout, the queue, the oldest unfinished image and the alarms

With --stack, or the flags and --stack, it shows a stack on AWS, otherwise the local fleet on a data folder. A part that
cannot be read shows the reason instead; only if nothing can be read the exit code is 1.

--watch repeats it until Ctrl-C: in place on a terminal, otherwise one below the other.`

const (
	// statusTimeout bounds reading all sections; a service that has not answered by then is reported as a problem.
	statusTimeout = 15 * time.Second
	// minInterval limits the calls to AWS, which throttles them and charges for some.
	minInterval = time.Second
)

func statusCmd(fs *flag.FlagSet) func(context.Context, Invocation) error {
	watch := fs.Bool("watch", false, "repeat until Ctrl-C")
	every := fs.Duration("every", 5*time.Second, "with --watch: the `interval`")
	return func(ctx context.Context, inv Invocation) (err error) {
		if *every < minInterval {
			return usage("--every %s is below %s", *every, minInterval)
		}
		s, err := inv.statusSource(ctx)
		if err != nil {
			return errors.Join(interrupted(ctx), err)
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		for first := true; ; first = false {
			o := s.collect(ctx)
			if !*watch {
				return errors.Join(inv.statusPage(o), interrupted(ctx), o.failure())
			}
			if ctx.Err() != nil {
				return nil
			}
			if err := inv.refresh(o, first); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(*every):
			}
		}
	}
}

// refresh prints a page over the previous one on a terminal, otherwise below it.
func (inv Invocation) refresh(o statusReport, first bool) error {
	var b bytes.Buffer
	to := inv
	to.Out = &b
	if err := to.statusPage(o); err != nil {
		return err
	}
	text := b.String()
	switch {
	case inv.OutTerminal && !inv.JSON:
		// Each line is cleared before it is overwritten. Clearing the whole screen would flicker, and clearing behind a
		// line that is as wide as the terminal would delete its last character.
		text = "\x1b[H\x1b[K" + strings.ReplaceAll(text, "\n", "\n\x1b[K") + "\x1b[J"
		if first {
			text = "\x1b[2J" + text
		}
	case !first:
		text = "\n" + text
	}
	_, err := io.WriteString(inv.Out, text)
	return err
}

// statusSource reads the data of the status.
type statusSource struct {
	target
	Deployment
	cfg aws.Config // zero on a data folder
}

// statusSource opens the deployment that the settings select.
func (inv Invocation) statusSource(ctx context.Context) (s statusSource, err error) {
	if s.target, err = inv.target(ctx); err != nil {
		return s, err
	}
	if s.OnAWS() {
		if s.cfg, err = s.awsConfig(ctx); err != nil {
			return s, err
		}
	}
	s.Deployment, err = inv.Open(ctx, s.Settings, s.out.Region)
	return s, err
}

// collect reads all sections at the same time.
func (s statusSource) collect(ctx context.Context) statusReport {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	o := statusReport{At: s.Service.Now().UTC().Truncate(time.Second), Place: s.where(),
		Fleet:  fleetSection{Groups: []group{}, Members: []member{}},
		Alarms: alarmsSection{Alarming: []alarms.Alarm{}, Unknown: []string{}, Disabled: []string{}}}
	var all sync.WaitGroup
	read := func(to *section, from func() error) {
		all.Go(func() {
			if err := from(); err != nil {
				to.Problem = client.Printable(errorText(err))
			}
		})
	}
	read(&o.Queue.section, func() (err error) { o.Queue.QueueDepth, err = s.QueueDepth(ctx); return err })
	read(&o.Oldest.section, func() error { return s.oldest(ctx, &o.Oldest) })
	read(&o.Alarms.section, func() error { return s.alarms(ctx, &o.Alarms) })
	read(&o.Rollout.section, func() error { return s.rollout(ctx, &o.Rollout) })
	if s.OnAWS() {
		read(&o.Fleet.section, func() error { return s.groups(ctx, &o.Fleet) })
		all.Wait()
		o.setReleases(s.out)
		return o
	}
	read(&o.Fleet.section, func() error { return s.processes(ctx, &o.Fleet) })
	all.Wait()
	return o
}

// where returns the name of the deployment for the heading.
func (s statusSource) where() string {
	dir, err := filepath.Abs(s.Data)
	switch {
	case s.OnAWS() && s.Stack == noStack:
		return "table " + s.Table + ", " + s.cfg.Region
	case s.OnAWS():
		return "stack " + s.Stack + ", " + s.cfg.Region
	case err != nil:
		return s.Data
	}
	return dir
}

// failure returns an error if no section could be read. The queue is a part of every deployment.
func (o statusReport) failure() error {
	for _, s := range []section{o.Queue.section, o.Oldest.section, o.Fleet.section, o.Rollout.section, o.Alarms.section} {
		if s.Problem == "" {
			return nil
		}
	}
	return fmt.Errorf("nothing of %s can be read: %s", o.Place, o.Queue.Problem)
}
