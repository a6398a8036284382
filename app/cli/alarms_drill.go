package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"imagery/app/admin/alarms"
	"imagery/app/deploy/settings"
)

const aboutAlarmsTest = `Set the alarms of a stack to ALARM and back, and check that every notification is delivered

Each alarm is set to ALARM; once its history shows how each action ended, it is set to OK, and the actions on that are
checked as well. CloudWatch then evaluates its metrics again. Since it notifies people, it asks first, and needs --yes
where nobody can answer. An alarm in state ALARM is skipped. Alarms are set back even after an error or Ctrl-C; one that
could not be set back is named, with the command to type.

Meanwhile a rollout is rolled back: server-errors, server-latency and worker-failures judge releases. It shows that a
message was published, not that anybody read it: look into the mailbox. Emulators of CloudWatch have no alarm history.

The exit code is 1 when an action failed or was not seen, or when nobody will receive an alarm.`

// alarmsDrill is one run of alarms test.
type alarmsDrill struct {
	stackAlarms
	names   string
	yes     bool
	wait    time.Duration
	poll    time.Duration // between two reads of the histories
	results []*alarms.Rung
}

// alarmsTestCmd is the command alarms test.
func alarmsTestCmd(fs *flag.FlagSet) func(context.Context, Invocation) error {
	r := alarmsDrill{poll: 2 * time.Second}
	fs.StringVar(&r.names, "name", "", "only these `alarms`, separated by commas, by their names in alarms ls")
	fs.BoolVar(&r.yes, "yes", false, "do not ask")
	fs.DurationVar(&r.wait, "wait", time.Minute, "how long to wait for the history to show an action")
	asJSON := jsonFlag(fs)
	return func(ctx context.Context, inv Invocation) (err error) {
		if err := r.checkNames(); err != nil {
			return err
		}
		if r.wait <= 0 {
			return usage("--wait %s is not positive", r.wait)
		}
		if !r.yes && inv.In == nil {
			return errCannotAsk
		}
		if r.stackAlarms, err = inv.stackAlarms(ctx); err != nil {
			return err
		}
		if err := r.selectAlarms(); err != nil {
			return err
		}
		if !r.yes {
			if err := r.confirm(ctx, inv.Console); err != nil {
				return err
			}
		}
		r.run(ctx, inv.Console)
		return errors.Join(r.print(inv.Console, *asJSON), interrupted(ctx), r.failure())
	}
}

var errCannotAsk = usage("it notifies people, and there is no terminal to ask at: give --yes")

// checkNames reports a name that no stack has.
func (r *alarmsDrill) checkNames() error {
	for _, name := range r.selected() {
		if !slices.Contains(settings.Alarms, name) {
			return usage("--name %q is not an alarm; there are %s", name, strings.Join(settings.Alarms, ", "))
		}
	}
	return nil
}

// selected returns the names of the flag --name.
func (r *alarmsDrill) selected() []string {
	return strings.FieldsFunc(r.names, func(c rune) bool { return c == ',' || c == ' ' })
}

// selectAlarms removes the alarms that --name does not select.
func (r *alarmsDrill) selectAlarms() error {
	selected := r.selected()
	if len(selected) == 0 {
		return nil
	}
	for _, name := range selected {
		if !slices.ContainsFunc(r.list, func(a alarms.Alarm) bool { return a.Name == name }) {
			return fmt.Errorf("stack %s has no alarm %s: run pulumi up", r.Stack, name)
		}
	}
	r.list = slices.DeleteFunc(r.list, func(a alarms.Alarm) bool { return !slices.Contains(selected, a.Name) })
	return nil
}

// confirm asks the person at the terminal whether to go on.
func (r *alarmsDrill) confirm(ctx context.Context, c Console) error {
	fmt.Fprintf(c.Err, "This sets %s of stack %s to ALARM and back. They notify:\n", plural(len(r.list), "alarm"), r.Stack)
	for _, t := range r.topics {
		for _, s := range t.Subscribers {
			state := "has not confirmed"
			if s.Confirmed {
				state = "confirmed"
			}
			fmt.Fprintf(c.Err, "  %s, %s\n", oneLine(s.String()), state)
		}
	}
	if slices.ContainsFunc(r.list, func(a alarms.Alarm) bool { return slices.Contains(settings.GuardAlarms, a.Name) }) {
		fmt.Fprintln(c.Err, "A rollout in progress will be rolled back, since some of them judge releases.")
	}
	fmt.Fprint(c.Err, "Continue? [y/N] ")
	answer := make(chan error, 1)
	go func() {
		var line string
		_, err := fmt.Fscanln(c.In, &line)
		switch {
		case slices.Contains([]string{"y", "yes"}, strings.ToLower(line)):
			err = nil
		case errors.Is(err, io.EOF): // such as /dev/null
			err = errCannotAsk
		default:
			err = errors.New("cancelled: no alarm was set")
		}
		answer <- err
	}()
	select {
	case <-ctx.Done():
		return errInterrupted
	case err := <-answer:
		return err
	}
}

// run performs the drill, and shows the newest step as progress.
func (r *alarmsDrill) run(ctx context.Context, c Console) {
	steps := make(chan string, 1)
	line := "setting alarms"
	done := c.progress(func() string {
		select {
		case line = <-steps:
		default:
		}
		return line
	})
	defer done()
	d := alarms.Drill{Clients: r.clients, Wait: r.wait, Look: r.poll, Text: errorText, Say: func(s string) {
		select { // only the newest step is shown
		case <-steps:
		default:
		}
		steps <- s
	}}
	r.results = d.Run(ctx, r.list)
}
