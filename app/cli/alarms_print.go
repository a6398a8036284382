package cli

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"imagery/app/admin/alarms"
)

// print tells what became of each alarm.
func (r *alarmTest) print(c Call, asJSON bool) error {
	if asJSON {
		return c.document(struct {
			Stack  string         `json:"stack"`
			Alarms []*alarms.Rung `json:"alarms"`
			Topics []alarms.Topic `json:"topics"`
		}{r.Stack, r.rungs, r.topics})
	}
	rows := [][]string{{"ALARM", "RANG", "OVER", "BACK", "HEARD BY"}}
	for i, rung := range r.rungs {
		back := "yes"
		if !rung.Back {
			back = "NO"
		}
		rows = append(rows, []string{rung.Name, told(rung, alarms.Ringing), told(rung, alarms.Quiet), back, r.heardWord(r.list[i])})
	}
	err := c.columns(rows)
	for _, rung := range r.rungs {
		for _, text := range troubles(rung) {
			c.wrapped("", "  ", rung.Name+": "+oneLine(text))
		}
		if !rung.Back {
			fmt.Fprintf(c.Out, "  do: aws cloudwatch set-alarm-state --state-value OK --state-reason drill --alarm-name %s\n", rung.OnAWS)
		}
	}
	r.unheard(c)
	return err
}

// told is how the actions on a state ended, the worst of them.
func told(r *alarms.Rung, on string) string {
	word := "-"
	for _, d := range r.Deliveries {
		if d.On == on && (word == "-" || d.State != alarms.Succeeded) {
			word = d.State
		}
	}
	if word == alarms.Failed {
		return "FAILED"
	}
	return word
}

// troubles are what is to be said about an alarm below the table.
func troubles(r *alarms.Rung) (texts []string) {
	for _, text := range []string{r.Skipped, r.Error} {
		if text != "" {
			texts = append(texts, text)
		}
	}
	said := map[string]bool{}
	for _, d := range r.Deliveries {
		text := cmp.Or(d.Error, "its history tells nothing of the action")
		if text += " (" + d.Action + ")"; d.State != alarms.Succeeded && !said[text] {
			said[text] = true
			texts = append(texts, text)
		}
	}
	return texts
}

// verdict is the error of a drill that somebody must look at.
func (r *alarmTest) verdict() error {
	var failed, skipped, stuck, unheard []string
	for i, rung := range r.rungs {
		switch {
		case rung.Skipped != "":
			skipped = append(skipped, rung.Name)
		case !rung.OK():
			failed = append(failed, rung.Name)
		}
		if !rung.Back {
			stuck = append(stuck, rung.Name)
		}
		if _, why := r.list[i].Heard(r.topics); why != "" {
			unheard = append(unheard, rung.Name)
		}
	}
	var errs []error
	for _, e := range []struct {
		names []string
		what  string
	}{{failed, "not every action was seen to succeed"}, {stuck, "NOT PUT BACK"}, {skipped, "not tested, for it rings already"}, {unheard, "nobody will receive it"}} {
		if len(e.names) > 0 {
			errs = append(errs, fmt.Errorf("%s: %s", e.what, strings.Join(e.names, ", ")))
		}
	}
	return errors.Join(errs...)
}
