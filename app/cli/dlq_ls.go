package cli

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

const aboutDLQList = `List the dead letters, oldest first

A dead letter is a message that was delivered as often as the queue allows. STATE is that of its image, or "malformed"
for a message that is not a hint, or "gone" when there is no such image. RECEIVES is the number of attempts in the
history of the image, else the count of the queue, which listing increases. Dead letters are received and released:
for a moment no other consumer sees them.`

// dlqListCmd is the command dlq ls.
func dlqListCmd(fs *flag.FlagSet) func(context.Context, Invocation) error {
	var filter deadLetterFilter
	filter.flags(fs)
	asJSON := jsonFlag(fs)
	return func(ctx context.Context, inv Invocation) error {
		deadLetters, now, err := inv.findDeadLetters(ctx, filter.match)
		if err != nil {
			return err
		}
		if *asJSON {
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

// findDeadLetters returns the dead letters that match, oldest first, and the time to which their ages refer.
func (inv Invocation) findDeadLetters(ctx context.Context, match func(DeadLetter) bool) (
	list []DeadLetter, now time.Time, err error) {
	d, err := inv.open(ctx)
	if err != nil {
		return nil, now, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if _, err := d.Service.DeadLetters.Limits(ctx); err != nil {
		return nil, now, fmt.Errorf("open the dead-letter queue: %w", err)
	}
	var count atomic.Int64
	defer inv.progress(func() string { return fmt.Sprintf("%d dead letters read", count.Load()) })()
	list = []DeadLetter{}
	err = d.eachDeadLetter(ctx, receiveBatch, func(l DeadLetter) (bool, error) {
		if count.Add(1); match(l) {
			list = append(list, l)
		}
		return false, nil
	})
	slices.SortStableFunc(list, func(a, b DeadLetter) int {
		return cmp.Or(a.Sent.Compare(b.Sent), cmp.Compare(a.ID, b.ID))
	})
	return list, d.Service.Now(), err
}
