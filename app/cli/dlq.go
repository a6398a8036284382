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

const aboutList = `Lists the dead letters: messages that were delivered as often as the queue allows, oldest first.

STATE is that of the image, or "malformed" for a message that is no hint, or "gone" when there is no such image.
RECEIVES is the attempts that the image's history tells of, else the queue's own count, which looks at the letters
raise. Letters are received and given back: for a moment nobody else sees them.`

const aboutShow = `Shows one dead letter in full; ID is its own, or that of its image.`

// listLetters is dlq ls.
func listLetters(fs *flag.FlagSet) func(context.Context, Call) error {
	var filter letterFilter
	filter.flags(fs)
	asJSON := jsonFlag(fs)
	return func(ctx context.Context, c Call) error {
		if err := c.noArgs(); err != nil {
			return err
		}
		letters, now, err := c.letters(ctx, filter.match)
		if err != nil {
			return err
		}
		if *asJSON {
			return c.document(letters)
		}
		if len(letters) == 0 {
			fmt.Fprintln(c.Out, "no dead letters")
			return nil
		}
		rows := [][]string{{"LETTER", "IMAGE", "STATE", "AGE", "RECEIVES", "REASON"}}
		for _, l := range letters {
			rows = append(rows, []string{l.ID, l.ImageID, l.State, age(now.Sub(l.Sent)), strconv.Itoa(l.Receives), l.Reason})
		}
		return c.columns(rows)
	}
}

// showLetter is dlq show. Several letters may be about one image.
func showLetter(fs *flag.FlagSet) func(context.Context, Call) error {
	asJSON := jsonFlag(fs)
	return func(ctx context.Context, c Call) error {
		id, err := c.oneID("id of a letter or an image")
		if err != nil {
			return err
		}
		letters, now, err := c.letters(ctx, func(l Letter) bool { return l.is(id) })
		if err != nil {
			return err
		}
		if len(letters) == 0 {
			return fmt.Errorf("no dead letter has the id %s, or is about an image with that id (see imagery dlq ls)", id)
		}
		if *asJSON {
			return c.document(letters)
		}
		for i, l := range letters {
			if i > 0 {
				fmt.Fprintln(c.Out)
			}
			err = errors.Join(err, c.facts([][2]string{
				{"letter", l.ID}, {"sent", stamp(l.Sent) + ", " + age(now.Sub(l.Sent)) + " ago"}, {"receives", strconv.Itoa(l.Receives)},
				{"body", l.Body}, {"trace", cmp.Or(l.Trace, "-")}, {"image", cmp.Or(l.ImageID, "-")}, {"state", l.State},
				{"reason", l.Reason}, {"cause", cmp.Or(l.Cause, "-")}, {"release", cmp.Or(l.Release, "-")},
				{"instance", cmp.Or(l.Instance, "-")}, {"redrive", redriveWords[l.Redrive]}}))
		}
		return err
	}
}

// redriveWords say what a redrive would do.
var redriveWords = map[Action]string{
	Requeue: "makes the image uploaded again, sends its hint, deletes the letter",
	Resend:  "sends the image's hint, deletes the letter",
	Drop:    "deletes the letter: nothing is left to do",
	Keep:    "leaves it: no retry makes it a hint; --drop-malformed deletes it",
}

// letters collects the letters that match, oldest first, and the time to which their ages refer.
func (c Call) letters(ctx context.Context, match func(Letter) bool) (list []Letter, now time.Time, err error) {
	b, err := c.open(ctx)
	if err != nil {
		return nil, now, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if _, err := b.Service.DeadLetters.Limits(ctx); err != nil {
		return nil, now, fmt.Errorf("open the dead letters: %w", err)
	}
	var count atomic.Int64
	defer c.watch(func() string { return fmt.Sprintf("%d dead letters read", count.Load()) })()
	list = []Letter{}
	err = b.eachLetter(ctx, receiveBatch, func(l Letter) (bool, error) {
		if count.Add(1); match(l) {
			list = append(list, l)
		}
		return false, nil
	})
	slices.SortStableFunc(list, func(a, b Letter) int { return cmp.Or(a.Sent.Compare(b.Sent), cmp.Compare(a.ID, b.ID)) })
	return list, b.Service.Now(), err
}
