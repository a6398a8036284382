package cli

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"imagery/app/admin/alarms"
	"imagery/app/deploy/settings"
)

const aboutAlarmsList = `List the alarms of a stack and who receives them

It shows the state, since when, the number of actions, and who is notified. A subscription that is not confirmed
receives nothing, and an alarm without any address notifies nobody: both are reported. docs/runbook.md has a section for
each alarm: what it means and what to do.`

// stackAlarms are the alarms of a stack and the topics that they notify.
type stackAlarms struct {
	target
	clients alarms.Clients
	list    []alarms.Alarm
	topics  []alarms.Topic
}

// stackAlarms reads the alarms of the stack that the settings name.
func (inv Invocation) stackAlarms(ctx context.Context) (s stackAlarms, err error) {
	if inv.Settings.Stack == noStack {
		return s, usage("only a stack on AWS has alarms: name it (%s)", settings.Named("stack"))
	}
	if s.target, err = inv.target(ctx); err != nil {
		return s, err
	}
	cfg, err := s.awsConfig(ctx)
	if err != nil {
		return s, err
	}
	s.clients = alarms.New(cfg)
	if s.list, err = s.clients.List(ctx, s.Stack); err != nil {
		return s, err
	}
	if len(s.list) == 0 {
		return s, fmt.Errorf("stack %s has no alarms in %s: check the name and the region, or run pulumi up",
			s.Stack, cfg.Region)
	}
	s.topics = s.clients.Topics(ctx, s.list, errorText)
	return s, nil
}

// alarmsListCmd is the command alarms ls.
func alarmsListCmd(fs *flag.FlagSet) func(context.Context, Invocation) error {
	asJSON := jsonFlag(fs)
	return func(ctx context.Context, inv Invocation) error {
		s, err := inv.stackAlarms(ctx)
		if err != nil {
			return err
		}
		if *asJSON {
			return s.printJSON(inv.Console)
		}
		rows := [][]string{{"ALARM", "STATE", "SINCE", "ACTIONS", "RECEIVED BY"}}
		for _, a := range s.list {
			state, actions := a.State, strconv.Itoa(len(a.Actions))
			if state == "INSUFFICIENT_DATA" {
				state = "no data"
			}
			if a.Muted {
				actions = "off"
			}
			rows = append(rows, []string{a.Name, state, age(time.Since(a.Since)), actions, s.receivers(a)})
		}
		err = inv.table(rows)
		s.printUnreceived(inv.Console)
		return err
	}
}

func (s stackAlarms) printJSON(c Console) error {
	type received struct {
		alarms.Alarm
		HeardBy []string `json:"heardBy"`
		Nobody  string   `json:"nobody,omitempty"` // why nobody receives it
	}
	list := []received{}
	for _, a := range s.list {
		by, why := a.Heard(s.topics)
		list = append(list, received{a, append([]string{}, by...), why})
	}
	return c.printJSON(struct {
		Stack  string         `json:"stack"`
		Alarms []received     `json:"alarms"`
		Topics []alarms.Topic `json:"topics"`
	}{s.Stack, list, s.topics})
}

// receivers returns who receives the alarm.
func (s stackAlarms) receivers(a alarms.Alarm) string {
	by, why := a.Heard(s.topics)
	if alarms.Unknown(why) {
		return "unknown"
	} else if why != "" {
		return "NOBODY"
	}
	return strings.Join(by, ", ")
}

// printUnreceived prints the alarms that nobody receives, grouped by reason, with the remedy.
func (s stackAlarms) printUnreceived(c Console) {
	var reasons []string
	names := map[string][]string{}
	for _, a := range s.list {
		if _, why := a.Heard(s.topics); why != "" {
			if names[why] == nil {
				reasons = append(reasons, why)
			}
			names[why] = append(names[why], a.Name)
		}
	}
	for _, why := range reasons {
		which := strings.Join(names[why], ", ")
		if len(names[why]) == len(s.list) {
			which = "any of them"
		}
		text := "nobody will receive " + which
		if alarms.Unknown(why) {
			text = "who receives " + which + " is not known"
		}
		fmt.Fprintln(c.Out)
		c.wrapped("", "", text+": "+oneLine(why))
		c.wrapped("  do: ", "      ", alarms.Remedy(why))
	}
}
