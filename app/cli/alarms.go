package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"imagery/app/admin/alarms"
	"imagery/app/deploy/settings"
)

const aboutAlarmsList = `Lists the alarms of a stack: state, since when, how many actions, and who hears them when they ring.

A subscription that nobody has confirmed hears nothing, and neither does one without an address: then it says so.
What each alarm means and what to do about it stands in docs/runbook.md, a section for each.`

// alarmSet is what the verbs about alarms work on.
type alarmSet struct {
	place
	clients alarms.Clients
	list    []alarms.Alarm
	topics  []alarms.Topic
}

// alarmsOf reads the alarms of the stack that was named.
func (c Call) alarmsOf(ctx context.Context) (s alarmSet, err error) {
	if c.Settings.Stack == noStack {
		return s, usage("alarms are those of a stack on AWS: name it (%s)", settings.Named("stack"))
	}
	if s.place, err = c.place(ctx); err != nil {
		return s, err
	}
	cfg, err := s.aws(ctx)
	if err != nil {
		return s, err
	}
	s.clients = alarms.New(cfg)
	if s.list, err = s.clients.List(ctx, s.Stack); err != nil {
		return s, err
	}
	if len(s.list) == 0 {
		return s, fmt.Errorf("stack %s has no alarms in %s: look at the name and the region, or run pulumi up", s.Stack, cfg.Region)
	}
	s.topics = s.clients.Topics(ctx, s.list, say)
	return s, nil
}

// listAlarms is alarms ls.
func listAlarms(fs *flag.FlagSet) func(context.Context, Call) error {
	asJSON := jsonFlag(fs)
	return func(ctx context.Context, c Call) error {
		if err := c.noArgs(); err != nil {
			return err
		}
		s, err := c.alarmsOf(ctx)
		if err != nil {
			return err
		}
		if *asJSON {
			type heard struct {
				alarms.Alarm
				HeardBy []string `json:"heardBy"`
				Nobody  string   `json:"nobody,omitempty"` // why
			}
			list := []heard{}
			for _, a := range s.list {
				by, why := a.Heard(s.topics)
				list = append(list, heard{a, append([]string{}, by...), why})
			}
			return c.document(struct {
				Stack  string         `json:"stack"`
				Alarms []heard        `json:"alarms"`
				Topics []alarms.Topic `json:"topics"`
			}{s.Stack, list, s.topics})
		}
		rows := [][]string{{"ALARM", "STATE", "SINCE", "ACTIONS", "HEARD BY"}}
		for _, a := range s.list {
			rows = append(rows, []string{a.Name, stateWord(a.State), age(time.Since(a.Since)), actionsWord(a), s.heardWord(a)})
		}
		err = c.columns(rows)
		s.unheard(c)
		return err
	}
}

// stateWord is a state as people say it.
func stateWord(state string) string {
	if state == "INSUFFICIENT_DATA" {
		return "no data"
	}
	return state
}

func actionsWord(a alarms.Alarm) string {
	if a.Muted {
		return "off"
	}
	return strconv.Itoa(len(a.Actions))
}

func (s alarmSet) heardWord(a alarms.Alarm) string {
	by, why := a.Heard(s.topics)
	if alarms.Unknown(why) {
		return "unknown"
	} else if why != "" {
		return "NOBODY"
	}
	return strings.Join(by, ", ")
}

// unheard prints the alarms that nobody will receive, by the reason, and reports how many they are.
func (s alarmSet) unheard(c Call) (count int) {
	var reasons []string
	names := map[string][]string{}
	for _, a := range s.list {
		if _, why := a.Heard(s.topics); why != "" {
			if names[why] == nil {
				reasons = append(reasons, why)
			}
			names[why] = append(names[why], a.Name)
			count++
		}
	}
	for _, why := range reasons {
		which := strings.Join(names[why], ", ")
		if len(names[why]) == len(s.list) {
			which = "any of them"
		}
		what := "nobody will receive " + which
		if alarms.Unknown(why) {
			what = "who receives " + which + " is not known"
		}
		fmt.Fprintln(c.Out)
		c.wrapped("", "", what+": "+oneLine(why))
		c.wrapped("  do: ", "      ", alarms.Remedy(why))
	}
	return count
}

const aboutAlarmsTest = `Rings the alarms of a stack and puts them back, and looks in their history whether what they tell was told.

Each alarm is set to ALARM, its history is read until it tells how each action ended, then it is set to OK, and the
actions on that are looked at, too. CloudWatch looks at its metrics again by itself. It pages people, so it asks
before, and wants --yes where nobody can answer. An alarm that rings already is left alone. Whatever happens, also
Ctrl-C, alarms are put back; one that could not be is named, with what to type.

While it runs, a rollout goes back: server-errors, server-latency and worker-failures judge releases. That a message
was published is seen, that it was read is not: look into the mailbox. Emulators have no alarm history; the tests of
this verb run on a double of our own with the shapes of the SDK.

Exit code 1 when an action failed or was not seen, or when nobody will receive it.`

// alarmTest is one run of alarms test.
type alarmTest struct {
	alarmSet
	names string
	yes   bool
	wait  time.Duration
	look  time.Duration // between looks at the histories
	rungs []*alarms.Rung
}

// testAlarms is alarms test.
func testAlarms(fs *flag.FlagSet) func(context.Context, Call) error {
	r := alarmTest{look: 2 * time.Second}
	fs.StringVar(&r.names, "name", "", "only these `alarms`, with commas between them, as alarms ls calls them")
	fs.BoolVar(&r.yes, "yes", false, "do not ask")
	fs.DurationVar(&r.wait, "wait", time.Minute, "how long to wait for the history to tell of an action")
	asJSON := jsonFlag(fs)
	return func(ctx context.Context, c Call) (err error) {
		if err := errors.Join(c.noArgs(), r.checkNames()); err != nil {
			return err
		}
		if r.wait <= 0 {
			return usage("--wait %s is not positive", r.wait)
		}
		if !r.yes && c.In == nil {
			return errNobody
		}
		if r.alarmSet, err = c.alarmsOf(ctx); err != nil {
			return err
		}
		if err := r.pick(); err != nil {
			return err
		}
		if !r.yes {
			if err := r.confirm(ctx, c); err != nil {
				return err
			}
		}
		r.run(ctx, c)
		return errors.Join(r.print(c, *asJSON), interrupted(ctx), r.verdict())
	}
}

var errNobody = usage("it pages people, and nobody is here to ask: give --yes")

// checkNames refuses names that no stack has.
func (r *alarmTest) checkNames() error {
	for _, name := range r.wanted() {
		if !slices.Contains(settings.Alarms, name) {
			return usage("--name %q is no alarm; there are %s", name, strings.Join(settings.Alarms, ", "))
		}
	}
	return nil
}

func (r *alarmTest) wanted() []string {
	return strings.FieldsFunc(r.names, func(c rune) bool { return c == ',' || c == ' ' })
}

// pick leaves the alarms that were asked for.
func (r *alarmTest) pick() error {
	wanted := r.wanted()
	if len(wanted) == 0 {
		return nil
	}
	for _, name := range wanted {
		if !slices.ContainsFunc(r.list, func(a alarms.Alarm) bool { return a.Name == name }) {
			return fmt.Errorf("stack %s has no alarm %s: run pulumi up", r.Stack, name)
		}
	}
	r.list = slices.DeleteFunc(r.list, func(a alarms.Alarm) bool { return !slices.Contains(wanted, a.Name) })
	return nil
}

// confirm asks the person in front of it.
func (r *alarmTest) confirm(ctx context.Context, c Call) error {
	fmt.Fprintf(c.Err, "This rings %s of stack %s and puts them back. They tell:\n", plural(len(r.list), "alarm"), r.Stack)
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
		fmt.Fprintln(c.Err, "A rollout that runs meanwhile goes back, for some of them judge releases.")
	}
	fmt.Fprint(c.Err, "Go on? [y/N] ")
	answer := make(chan error, 1)
	go func() {
		var line string
		_, err := fmt.Fscanln(c.In, &line)
		switch {
		case slices.Contains([]string{"y", "yes"}, strings.ToLower(line)):
			err = nil
		case errors.Is(err, io.EOF): // such as /dev/null
			err = errNobody
		default:
			err = errors.New("nothing was rung")
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

// run is the drill.
func (r *alarmTest) run(ctx context.Context, c Call) {
	said := make(chan string, 1)
	line := "ringing"
	done := c.watch(func() string {
		select {
		case line = <-said:
		default:
		}
		return line
	})
	defer done()
	d := alarms.Drill{Clients: r.clients, Wait: r.wait, Look: r.look, Text: say, Say: func(s string) {
		select { // only the newest is worth showing
		case <-said:
		default:
		}
		said <- s
	}}
	r.rungs = d.Run(ctx, r.list)
}
