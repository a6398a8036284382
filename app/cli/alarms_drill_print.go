package cli

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"imagery/app/admin/alarms"
)

// print prints the outcome for each alarm.
func (r *alarmsDrill) print(c Console, asJSON bool) error {
	if asJSON {
		return c.printJSON(struct {
			Stack  string         `json:"stack"`
			Alarms []*alarms.Rung `json:"alarms"`
			Topics []alarms.Topic `json:"topics"`
		}{r.Stack, r.results, r.topics})
	}
	rows := [][]string{{"ALARM", "ON ALARM", "ON OK", "SET BACK", "RECEIVED BY"}}
	for i, result := range r.results {
		back := "yes"
		if !result.Back {
			back = "NO"
		}
		rows = append(rows, []string{result.Name, worstDelivery(result, alarms.Ringing), worstDelivery(result, alarms.Quiet),
			back, r.receivers(r.list[i])})
	}
	err := c.table(rows)
	for _, result := range r.results {
		for _, text := range drillProblems(result) {
			c.wrapped("", "  ", result.Name+": "+oneLine(text))
		}
		if !result.Back {
			fmt.Fprintf(c.Out, "  do: aws cloudwatch set-alarm-state --state-value OK --state-reason drill --alarm-name %s\n",
				result.OnAWS)
		}
	}
	r.printUnreceived(c)
	return err
}

// worstDelivery returns the worst outcome of the actions on a state, "-" if there are none.
func worstDelivery(r *alarms.Rung, on string) string {
	worst := "-"
	for _, d := range r.Deliveries {
		if d.On == on && (worst == "-" || d.State != alarms.Succeeded) {
			worst = d.State
		}
	}
	if worst == alarms.Failed {
		return "FAILED"
	}
	return worst
}

// drillProblems returns what is printed about an alarm below the table.
func drillProblems(r *alarms.Rung) (texts []string) {
	for _, text := range []string{r.Skipped, r.Error} {
		if text != "" {
			texts = append(texts, text)
		}
	}
	printed := map[string]bool{}
	for _, d := range r.Deliveries {
		text := cmp.Or(d.Error, "its history does not show the action") + " (" + d.Action + ")"
		if d.State != alarms.Succeeded && !printed[text] {
			printed[text] = true
			texts = append(texts, text)
		}
	}
	return texts
}

// failure returns the error of a drill in which something needs a person.
func (r *alarmsDrill) failure() error {
	var failed, skipped, notSetBack, unreceived []string
	for i, result := range r.results {
		switch {
		case result.Skipped != "":
			skipped = append(skipped, result.Name)
		case !result.OK():
			failed = append(failed, result.Name)
		}
		if !result.Back {
			notSetBack = append(notSetBack, result.Name)
		}
		if _, why := r.list[i].Heard(r.topics); why != "" {
			unreceived = append(unreceived, result.Name)
		}
	}
	var errs []error
	for _, e := range []struct {
		names []string
		text  string
	}{{failed, "not every action was seen to succeed"}, {notSetBack, "NOT SET BACK"},
		{skipped, "not tested, since its state is ALARM"}, {unreceived, "nobody will receive it"}} {
		if len(e.names) > 0 {
			errs = append(errs, fmt.Errorf("%s: %s", e.text, strings.Join(e.names, ", ")))
		}
	}
	return errors.Join(errs...)
}
