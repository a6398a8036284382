package cli

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	aboutDLQList = `List the dead letters, oldest first

A dead letter is a message that was delivered as often as the queue allows. STATE is that of its image, or "malformed"
for a message that is not a hint, or "gone" when there is no such image. RECEIVES is the number of attempts in the
history of the image, else the count of the queue, which listing increases. Dead letters are received and released:
for a moment no other consumer sees them.`
	aboutDLQShow = `Show one dead letter in full

ID is that of the message or of its image. All dead letters of the image are shown.`
)

// deadLetterFilter selects dead letters by the flags --reason and --id.
type deadLetterFilter struct{ reason, id string }

func (f *deadLetterFilter) flags(fs *flag.FlagSet) {
	fs.StringVar(&f.reason, "reason", "", "only dead letters with these `words` in their reason or cause, in any case")
	fs.StringVar(&f.id, "id", "", "only dead letters with this `ID`, their own or that of their image")
}

func (f deadLetterFilter) match(l deadLetter) bool {
	return (f.id == "" || f.id == l.ID || strings.EqualFold(f.id, l.ImageID)) && contains(f.reason, l.Reason, l.Cause)
}

// contains reports whether one of the texts contains words, in any case.
func contains(words string, texts ...string) bool {
	return slices.ContainsFunc(texts, func(text string) bool {
		return strings.Contains(strings.ToLower(text), strings.ToLower(words))
	})
}

func dlqListCmd(fs *flag.FlagSet) func(context.Context, Invocation) error {
	var filter deadLetterFilter
	filter.flags(fs)
	return func(ctx context.Context, inv Invocation) error {
		deadLetters, now, err := inv.findDeadLetters(ctx, filter)
		if err != nil {
			return err
		}
		if inv.JSON {
			return inv.printJSON(deadLetters)
		}
		if len(deadLetters) == 0 {
			fmt.Fprintln(inv.Out, "no dead letters")
			return nil
		}
		rows := [][]string{{"MESSAGE", "IMAGE", "STATE", "AGE", "RECEIVES", "REASON"}}
		for _, l := range deadLetters {
			rows = append(rows, []string{l.ID, l.ImageID, l.State, age(now.Sub(l.Sent)), strconv.Itoa(l.Receives), l.Reason})
		}
		return inv.table(rows)
	}
}

// redriveHelp explains what a redrive does.
var redriveHelp = map[action]string{
	requeue: "moves the image to uploaded, sends its hint, deletes the dead letter",
	resend:  "sends the hint of the image, deletes the dead letter",
	drop:    "deletes the dead letter: nothing is left to do",
	keep:    "leaves it: no retry makes it a hint; --drop-malformed deletes it",
}

func dlqShow(ctx context.Context, inv Invocation) error {
	id := inv.Args[0]
	deadLetters, now, err := inv.findDeadLetters(ctx, deadLetterFilter{id: id})
	if err != nil {
		return err
	}
	if len(deadLetters) == 0 {
		return fmt.Errorf("no dead letter has the id %s, nor does its image: imagery dlq ls lists them", id)
	}
	if inv.JSON {
		return inv.printJSON(deadLetters)
	}
	for i, l := range deadLetters {
		if i > 0 {
			fmt.Fprintln(inv.Out)
		}
		if err := inv.table([][]string{
			{"message", l.ID}, {"sent", formatTime(l.Sent) + ", " + age(now.Sub(l.Sent)) + " ago"},
			{"receives", strconv.Itoa(l.Receives)}, {"body", l.Body}, {"trace", l.Trace}, {"image", l.ImageID},
			{"state", l.State}, {"reason", l.Reason}, {"cause", l.Cause}, {"release", l.Release},
			{"instance", l.Instance}, {"redrive", redriveHelp[l.Redrive]}}); err != nil {
			return err
		}
	}
	return nil
}

// findDeadLetters returns the dead letters that match, oldest first, and the time to which their ages refer.
func (inv Invocation) findDeadLetters(ctx context.Context, filter deadLetterFilter) (
	list []deadLetter, now time.Time, err error) {
	list = []deadLetter{}
	err = inv.use(ctx, func(d Deployment) error {
		now = d.Service.Now()
		if _, err := d.Service.DeadLetters.Limits(ctx); err != nil {
			return fmt.Errorf("open the dead-letter queue: %w", err)
		}
		var count atomic.Int64
		defer inv.progress(func() string { return fmt.Sprintf("%d dead letters read", count.Load()) })()
		return d.eachDeadLetter(ctx, receiveBatch, func(l deadLetter) (bool, error) {
			if count.Add(1); filter.match(l) {
				list = append(list, l)
			}
			return false, nil
		})
	})
	slices.SortStableFunc(list, func(a, b deadLetter) int {
		return cmp.Or(a.Sent.Compare(b.Sent), cmp.Compare(a.ID, b.ID))
	})
	return list, now, err
}
