package e2e

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"imagery/app/imagery"
)

// deadLetter is a dead letter in the output of --json.
type deadLetter struct {
	ID, ImageID, State, Reason, Cause, Release, Instance, Trace, Body, Redrive string
	Sent                                                                       time.Time
	Receives                                                                   int
	Action, Error                                                              string // of a redrive
	Done                                                                       bool
}

type redriveReport struct {
	DryRun  bool
	Letters []deadLetter
}

// actions returns the actions by the state of the image.
func (r redriveReport) actions(d *deployment, done bool) map[string]string {
	d.Helper()
	got := map[string]string{}
	for _, l := range r.Letters {
		got[l.State] = l.Action
		if l.Done != (done && l.Action != "keep") || l.Error != "" || r.DryRun == done {
			d.Errorf("dry run %t: %+v", r.DryRun, l)
		}
	}
	return got
}

// TestDeadLettersGoBack lists, explains and redrives a photo that killed its workers and other dead letters, while the
// operator's command is killed in between.
func TestDeadLettersGoBack(t *testing.T) {
	t.Parallel()
	onBothBackends(t, quick, func(d *deployment) {
		out, _ := d.run(0, "dlq", "ls")
		d.contains(out, "no dead letters\n")
		var letters []deadLetter
		if d.runJSON(0, &letters, "dlq", "ls"); letters == nil || len(letters) > 0 {
			d.Errorf("no letters in JSON: %v", letters)
		}
		poison := imagery.NewID()
		fleet := d.fleet("-failpoint", fmt.Sprint(imagery.MidFilter, "@", poison))
		c := newClient(d, fleet.url)
		ctx, cancel := context.WithTimeout(d.Context(), 5*time.Minute)
		defer cancel()
		if err := c.upload(ctx, poison, photo{"poison", encodeJPEG(d, scene(1, 60, 40)), "failed"}); err != nil {
			d.Fatal(err)
		}
		if v, err := c.final(ctx, poison); err != nil || v.State != "failed" {
			d.Fatalf("the poison: %+v, %v", v, err)
		}
		fleet.stop(d)
		processed := d.addImage("r1", time.Hour, imagery.Uploaded, imagery.Processed)
		created := d.addImage("r1", time.Hour)
		for _, body := range []string{hintOf(processed), hintOf(created), "not a\nhint",
			`{"imageId":"` + imagery.NewID() + `","desiredState":"processed"}`} {
			d.addDeadLetter(body)
		}
		d.checkListing(poison)
		d.checkRedrive(poison)
		fleet = d.fleet()
		if v, err := newClient(d, fleet.url).final(ctx, poison); err != nil || v.State != "processed" || v.Version != 4 {
			d.Errorf("the poison, after its cause was mended: %+v, %v", v, err)
		}
		fleet.stop(d)
		if s := d.snapshot(); len(s.Messages) > 0 {
			d.Errorf("messages are left: %+v", s.Messages)
		}
	})
}

// checkListing checks the output about five dead letters.
func (d *deployment) checkListing(poison string) {
	d.Helper()
	d.expectUnchanged(func() {
		// As long as a pass of the reconciler may hide them.
		held, err := d.dead.Receive(d.Context(), 10, 0)
		if err == nil {
			_, err = d.dead.Extend(d.Context(), 3*time.Second, held...)
		}
		if err != nil || len(held) != 5 {
			d.Fatalf("%d dead letters received: %v", len(held), err)
		}
		var all, some []deadLetter
		d.runJSON(0, &all, "dlq", "ls")
		states := map[string]deadLetter{}
		for _, l := range all {
			states[l.State] = l
		}
		if len(all) != 5 || len(states) != 5 || states["gone"].Redrive != "drop" ||
			states["malformed"].Body != "not a\nhint" {
			d.Errorf("letters: %+v", all)
		}
		p := states["failed"]
		if p.ImageID != poison || p.Receives != 2 || p.Redrive != "requeue" || p.Instance == "" || p.Release == "" ||
			time.Since(p.Sent) > time.Minute {
			d.Errorf("the dead letter of the poison: %+v", p)
		}
		if d.runJSON(0, &some, "dlq", "ls", "--reason", "No Worker lived"); len(some) != 1 || some[0].ID != p.ID {
			d.Errorf("filtered by reason: %+v", some)
		}
		if d.runJSON(0, &some, "dlq", "show", strings.ToUpper(poison)); len(some) != 1 || some[0].ID != p.ID {
			d.Errorf("show by the image: %+v", some)
		}
		out, _ := d.run(0, "dlq", "ls", "--id", p.ID)
		head, row, _ := strings.Cut(out, "\n")
		if strings.Index(head, "REASON") != strings.Index(row, "It could not") || strings.Count(out, "\n") != 2 {
			d.Errorf("columns:\n%s", out)
		}
		out, _ = d.run(0, "dlq", "show", p.ID)
		d.contains(out, poison, "no worker lived through 2 attempts", p.Body, "moves the image to uploaded")
		var dry redriveReport
		d.runJSON(0, &dry, "dlq", "redrive", "--dry-run")
		if got, want := dry.actions(d, false), map[string]string{"failed": "requeue", "processed": "drop", "created": "drop",
			"gone": "drop", "malformed": "keep"}; !maps.Equal(got, want) {
			d.Errorf("a dry run says %v, want %v", got, want)
		}
	})
}

// checkRedrive redrives them. The command is killed twice in between.
func (d *deployment) checkRedrive(poison string) {
	d.Helper()
	stored := func(state string, version int64, live, dead int) {
		d.Helper()
		img, n := d.get(poison), map[bool]int{}
		for _, m := range d.snapshot().Messages {
			n[m.Dead]++
		}
		if string(img.State) != state || img.Version != version || n[false] != live || n[true] != dead {
			d.Errorf("the image is %s, version %d, with %d hints and %d letters; want %s, %d, %d, %d", img.State, img.Version,
				n[false], n[true], state, version, live, dead)
		}
	}
	visible := func() { // a killed command holds letters until their visibility timeout
		for n := 0; n < 5; {
			var all []deadLetter
			d.runJSON(0, &all, "dlq", "ls")
			n = len(all)
		}
	}
	d.run(-1, "dlq", "redrive", "--id", poison, "-failpoint", string(imagery.BeforeHint))
	stored("uploaded", 3, 0, 5)
	visible()
	d.run(-1, "dlq", "redrive", "--id", poison, "-failpoint", string(imagery.BeforeAck))
	stored("uploaded", 3, 1, 5)
	visible()
	var r redriveReport
	d.runJSON(0, &r, "dlq", "redrive", "--rate", "50")
	if got, want := r.actions(d, true), map[string]string{"uploaded": "resend", "processed": "drop", "created": "drop",
		"gone": "drop", "malformed": "keep"}; !maps.Equal(got, want) {
		d.Errorf("redrive did %v, want %v", got, want)
	}
	stored("uploaded", 3, 2, 1)
	out, _ := d.run(0, "dlq", "redrive", "--drop-malformed")
	d.contains(out, "drop", "not a hint")
	stored("uploaded", 3, 2, 0)
}
