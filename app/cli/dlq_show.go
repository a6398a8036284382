package cli

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
)

const aboutDLQShow = `Show one dead letter in full

ID is that of the message or of its image. All dead letters of the image are shown.`

// redriveHelp explains what a redrive does.
var redriveHelp = map[Action]string{
	Requeue: "moves the image to uploaded, sends its hint, deletes the dead letter",
	Resend:  "sends the hint of the image, deletes the dead letter",
	Drop:    "deletes the dead letter: nothing is left to do",
	Keep:    "leaves it: no retry makes it a hint; --drop-malformed deletes it",
}

// dlqShowCmd is the command dlq show.
func dlqShowCmd(fs *flag.FlagSet) func(context.Context, Invocation) error {
	asJSON := jsonFlag(fs)
	return func(ctx context.Context, inv Invocation) error {
		id, err := inv.oneArg("id of a dead letter or an image")
		if err != nil {
			return err
		}
		deadLetters, now, err := inv.findDeadLetters(ctx, func(l DeadLetter) bool { return l.hasID(id) })
		if err != nil {
			return err
		}
		if len(deadLetters) == 0 {
			return fmt.Errorf("no dead letter has the id %s, nor does its image: imagery dlq ls lists them", id)
		}
		if *asJSON {
			return inv.printJSON(deadLetters)
		}
		for i, l := range deadLetters {
			if i > 0 {
				fmt.Fprintln(inv.Out)
			}
			err = errors.Join(err, inv.fields([][2]string{
				{"message", l.ID}, {"sent", formatTime(l.Sent) + ", " + age(now.Sub(l.Sent)) + " ago"},
				{"receives", strconv.Itoa(l.Receives)}, {"body", l.Body}, {"trace", cmp.Or(l.Trace, "-")},
				{"image", cmp.Or(l.ImageID, "-")}, {"state", l.State}, {"reason", l.Reason}, {"cause", cmp.Or(l.Cause, "-")},
				{"release", cmp.Or(l.Release, "-")}, {"instance", cmp.Or(l.Instance, "-")}, {"redrive", redriveHelp[l.Redrive]}}))
		}
		return err
	}
}
