package cli

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

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
func (inv Invocation) stackAlarms(ctx context.Context) (*stackAlarms, error) {
	if inv.Settings.Stack == noStack {
		return nil, usage("only a stack on AWS has alarms: name it (%s)", settings.Named("stack"))
	}
	t, err := inv.target(ctx)
	if err != nil {
		return nil, err
	}
	cfg, err := t.awsConfig(ctx)
	if err != nil {
		return nil, err
	}
	s := &stackAlarms{target: t, clients: alarms.New(cfg)}
	if s.list, err = s.clients.List(ctx, s.Stack); err != nil {
		return nil, err
	}
	if len(s.list) == 0 {
		return nil, fmt.Errorf("stack %s has no alarms in %s: check the name and the region, or run pulumi up",
			s.Stack, cfg.Region)
	}
	s.topics = s.clients.Topics(ctx, s.list, errorText)
	return s, nil
}

func alarmsList(ctx context.Context, inv Invocation) error {
	s, err := inv.stackAlarms(ctx)
	if err != nil {
		return err
	}
	if inv.JSON {
		return s.printReceivers(inv.Console)
	}
	rows := [][]string{{"ALARM", "STATE", "SINCE", "ACTIONS", "RECEIVED BY"}}
	for _, a := range s.list {
		state, actions := string(a.State), strconv.Itoa(len(a.Actions))
		if a.State == types.StateValueInsufficientData {
			state = "no data"
		}
		if a.Disabled {
			actions = "off"
		}
		rows = append(rows, []string{a.Name, state, age(time.Since(a.Since)), actions, s.receivers(a)})
	}
	err = inv.table(rows)
	s.printUnreceived(inv.Console)
	return err
}

// printReceivers prints the alarms with their subscribers as JSON.
func (s *stackAlarms) printReceivers(c Console) error {
	type received struct {
		alarms.Alarm
		By     []string `json:"heardBy"`
		Nobody string   `json:"nobody,omitempty"` // why nobody receives it
	}
	list := []received{}
	for _, a := range s.list {
		by, gap := a.Recipients(s.topics)
		list = append(list, received{a, append([]string{}, by...), gap.Reason})
	}
	return s.printJSON(c, list)
}

// printJSON prints what is known of each alarm, and the topics.
func (s *stackAlarms) printJSON(c Console, list any) error {
	return c.printJSON(map[string]any{"stack": s.Stack, "alarms": list, "topics": s.topics})
}

// receivers returns who receives the alarm.
func (s *stackAlarms) receivers(a alarms.Alarm) string {
	by, gap := a.Recipients(s.topics)
	if gap.Unknown {
		return "unknown"
	}
	return cmp.Or(strings.Join(by, ", "), "NOBODY")
}

// printUnreceived prints the alarms that nobody receives, grouped by reason, with the remedy.
func (s *stackAlarms) printUnreceived(c Console) {
	for _, gap := range alarms.Unreceived(s.list, s.topics) {
		fmt.Fprintln(c.Out)
		c.wrapped("", "", gap.Text)
		c.wrapped("  do: ", "      ", gap.Remedy)
	}
}
