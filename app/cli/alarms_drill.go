package cli

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"imagery/app/admin/alarms"
	"imagery/app/client"
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

func alarmsTestCmd(fs *flag.FlagSet) func(context.Context, Invocation) error {
	var names []string
	fs.Func("name", "only these `alarms`, separated by commas, by their names in alarms ls", func(text string) error {
		names = strings.FieldsFunc(text, func(c rune) bool { return c == ',' || c == ' ' })
		for _, name := range names {
			if !slices.Contains(settings.Alarms, name) {
				return fmt.Errorf("%q is not an alarm; there are %s", name, strings.Join(settings.Alarms, ", "))
			}
		}
		return nil
	})
	yes := fs.Bool("yes", false, "do not ask")
	wait := fs.Duration("wait", time.Minute, "how long to wait for the history to show an action")
	return func(ctx context.Context, inv Invocation) error {
		if *wait <= 0 {
			return usage("--wait %s is not positive", *wait)
		}
		if !*yes && inv.In == nil {
			return errCannotAsk
		}
		s, err := inv.stackAlarms(ctx)
		if err != nil {
			return err
		}
		if err := s.selectAlarms(names); err != nil {
			return err
		}
		if !*yes {
			if err := s.confirm(ctx, inv.Console); err != nil {
				return err
			}
		}
		var step atomic.Value
		step.Store("setting alarms")
		done := inv.progress(func() string { return step.Load().(string) })
		d := alarms.Drill{Clients: s.clients, Wait: *wait, Interval: 2 * time.Second, Text: errorText,
			Log: func(text string) { step.Store(text) }}
		results := d.Run(ctx, s.list)
		done()
		return errors.Join(s.printDrill(inv, results), interrupted(ctx), s.drillFailure(results))
	}
}

var errCannotAsk = usage("it notifies people, and there is no terminal to ask at: give --yes")

// selectAlarms removes the alarms that have none of the names; no name selects all.
func (s *stackAlarms) selectAlarms(names []string) error {
	if len(names) == 0 {
		return nil
	}
	for _, name := range names {
		if !slices.ContainsFunc(s.list, func(a alarms.Alarm) bool { return a.Name == name }) {
			return fmt.Errorf("stack %s has no alarm %s: run pulumi up", s.Stack, name)
		}
	}
	s.list = slices.DeleteFunc(s.list, func(a alarms.Alarm) bool { return !slices.Contains(names, a.Name) })
	return nil
}

// confirm asks the person at the terminal whether to go on.
func (s *stackAlarms) confirm(ctx context.Context, c Console) error {
	fmt.Fprintf(c.Err, "This sets %s of stack %s to ALARM and back. They notify:\n", plural(len(s.list), "alarm"), s.Stack)
	for _, t := range s.topics {
		for _, sub := range t.Subscribers {
			state := "has not confirmed"
			if sub.Confirmed {
				state = "confirmed"
			}
			fmt.Fprintf(c.Err, "  %s, %s\n", client.Printable(sub.String()), state)
		}
	}
	if slices.ContainsFunc(s.list, func(a alarms.Alarm) bool { return slices.Contains(settings.GuardAlarms, a.Name) }) {
		fmt.Fprintln(c.Err, "A rollout in progress will be rolled back, since some of them judge releases.")
	}
	fmt.Fprint(c.Err, "Continue? [y/N] ")
	answer := make(chan error, 1)
	go func() {
		var line string
		_, err := fmt.Fscanln(c.In, &line)
		switch line = strings.ToLower(line); {
		case line == "y" || line == "yes":
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

// printDrill prints the outcome for each alarm.
func (s *stackAlarms) printDrill(inv Invocation, results []*alarms.DrillResult) error {
	if inv.JSON {
		return s.printJSON(inv.Console, results)
	}
	rows := [][]string{{"ALARM", "ON ALARM", "ON OK", "SET BACK", "RECEIVED BY"}}
	for _, r := range results {
		back := "yes"
		if !r.Back {
			back = "NO"
		}
		rows = append(rows, []string{r.Name, worstDelivery(r, types.StateValueAlarm), worstDelivery(r, types.StateValueOk),
			back, s.receivers(r.Alarm)})
	}
	err := inv.table(rows)
	for _, r := range results {
		texts := []string{r.Skipped, r.Error}
		for _, d := range r.Deliveries {
			if d.State != alarms.Succeeded {
				texts = append(texts, cmp.Or(d.Error, "its history does not show the action")+" ("+d.Action+")")
			}
		}
		for i, text := range texts {
			if text != "" && !slices.Contains(texts[:i], text) {
				inv.wrapped("", "  ", r.Name+": "+text)
			}
		}
		if !r.Back {
			fmt.Fprintf(inv.Out, "  do: aws cloudwatch set-alarm-state --state-value OK --state-reason drill --alarm-name %s\n",
				r.OnAWS)
		}
	}
	s.printUnreceived(inv.Console)
	return err
}

// worstDelivery returns the worst outcome of the actions on a state; it is empty if there are none.
func worstDelivery(r *alarms.DrillResult, on types.StateValue) (worst string) {
	for _, d := range r.Deliveries {
		if d.On == on && (worst == "" || d.State != alarms.Succeeded) {
			worst = d.State
		}
	}
	if worst == alarms.Failed {
		return "FAILED"
	}
	return worst
}

// drillFailure returns the error of a drill in which something needs a person.
func (s *stackAlarms) drillFailure(results []*alarms.DrillResult) error {
	var errs []error
	for _, e := range []struct {
		text    string
		matches func(r *alarms.DrillResult) bool
	}{
		{"not every action was seen to succeed", func(r *alarms.DrillResult) bool { return r.Skipped == "" && !r.OK() }},
		{"NOT SET BACK", func(r *alarms.DrillResult) bool { return !r.Back }},
		{"not tested, since its state is ALARM", func(r *alarms.DrillResult) bool { return r.Skipped != "" }},
		{"nobody will receive it", func(r *alarms.DrillResult) bool {
			by, _ := r.Alarm.Recipients(s.topics)
			return len(by) == 0
		}},
	} {
		var names []string
		for _, r := range results {
			if e.matches(r) {
				names = append(names, r.Name)
			}
		}
		if len(names) > 0 {
			errs = append(errs, fmt.Errorf("%s: %s", e.text, strings.Join(names, ", ")))
		}
	}
	return errors.Join(errs...)
}
