package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"imagery/app/admin/fsck"
	"imagery/app/imagery"
)

const aboutCheck = `Compares the table, the objects and the messages with each other, both ways, and lists what is not as it should be:

  lost        an accepted photo cannot end any more, or its result is gone
  duplicated  one upload has more than one result
  broken      an item or object that no legal history explains
  unhinted    an unfinished image without a hint; the reconciler sends one sooner or later
  orphan      an object that no image names: a crash, or a lost race, left it

The first three need a person and end with exit code 1. Run it with no writes meanwhile, or images in flight may be
named as unhinted or orphan. It reads everything, at its cost. A queue on AWS cannot be listed: there an image is unhinted
when its hint is long overdue.

--repair sends missing hints, and removes orphans that are old enough and whose image is processed or gone, so that no
upload under way can still name them. It touches nothing else.`

// checking is one run of fsck.
type checking struct {
	Backend
	hashes  bool
	repair  bool
	dry     bool
	oldest  time.Duration
	found   []fsck.Finding
	repairs []repaired
}

// repaired is a finding that --repair is for.
type repaired struct {
	fsck.Finding
	Action string `json:"action"`
	Done   bool   `json:"done"` // false in a dry run, when it is left, and after an error
	Error  string `json:"error,omitempty"`
}

// What a repair does.
const (
	sendHint     = "send hint"
	removeObject = "remove object"
	leaveIt      = "leave it"
)

// youngestOrphan is the least that --older-than may say: an upload may take settings.UploadTimeout from its
// object to its item.
const youngestOrphan = 2 * time.Minute

// check is the verb.
func check(fs *flag.FlagSet) func(context.Context, Call) error {
	r := checking{repairs: []repaired{}}
	fs.BoolVar(&r.hashes, "hashes", false, "read every object, too, and compare originals with their names (always so on a local data folder)")
	fs.BoolVar(&r.repair, "repair", false, "repair what is safe to repair")
	fs.BoolVar(&r.dry, "dry-run", false, "with --repair: say what would be repaired, and change nothing")
	fs.DurationVar(&r.oldest, "older-than", 24*time.Hour, "the `age` from which --repair removes orphans")
	asJSON := jsonFlag(fs)
	return func(ctx context.Context, c Call) (err error) {
		if err := c.noArgs(); err != nil {
			return err
		}
		if r.oldest < youngestOrphan {
			return usage("--older-than %s: an upload under way may be as young; the least is %s", r.oldest, youngestOrphan)
		}
		if r.Backend, err = c.open(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		began := time.Now()
		done := c.watch(func() string { return "reading everything for " + age(time.Since(began)) })
		s, err := r.Snapshot(ctx, r.hashes)
		done()
		if err != nil {
			return errors.Join(interrupted(ctx), err)
		}
		now := r.Service.Now()
		r.found = slices.Concat(fsck.Check(s), r.overdue(s, now))
		if r.repair {
			err = r.repairAll(ctx, s, now)
		}
		return errors.Join(r.print(c, s, *asJSON), err, r.verdict())
	}
}

// overdue finds unfinished images whose hint should have been sent long ago, where messages cannot be listed.
// One interval is granted: the reconciler sends at a bounded rate.
func (r *checking) overdue(s fsck.Snapshot, now time.Time) (found []fsck.Finding) {
	if !s.NoMessages {
		return nil
	}
	for _, i := range s.Items {
		if i.State != string(imagery.Uploaded) || i.Updated == 0 {
			continue
		}
		due := r.Service.NextHint(imagery.Image{Updated: time.UnixMilli(i.Updated), Hinted: time.UnixMilli(i.Hinted)})
		if now.Sub(due) > r.Service.ResendAfter {
			found = append(found, fsck.Finding{Class: fsck.Unhinted, Image: i.ID, Detail: "its hint is due since " + stamp(due) + ", and nobody sent it"})
		}
	}
	return found
}

// repairAll goes through the findings that a machine may settle.
func (r *checking) repairAll(ctx context.Context, s fsck.Snapshot, now time.Time) error {
	for _, f := range r.found {
		if ctx.Err() != nil {
			return errInterrupted
		}
		did := repaired{Finding: f}
		var err error
		switch f.Class {
		case fsck.Unhinted:
			did.Action = sendHint
			if !r.dry {
				err = r.sendHint(ctx, f.Image)
			}
		case fsck.Orphan:
			var left string
			if did.Action, left, err = r.removeOrphan(ctx, f, s.Stored[f.Key], now.Add(-r.oldest)); left != "" {
				did.Detail = left
			}
		default:
			continue
		}
		if did.Done = err == nil && !r.dry && did.Action != leaveIt; err != nil {
			did.Error = say(err)
		}
		r.repairs = append(r.repairs, did)
	}
	return nil
}

// sendHint sends the hint of an image if it is still unfinished.
func (r *checking) sendHint(ctx context.Context, id string) error {
	unfinished := func(img imagery.Image) bool { return img.State == imagery.Uploaded }
	_, _, err := r.Service.Requeue(context.WithoutCancel(ctx), id, r.Store, unfinished)
	if errors.Is(err, imagery.ErrNotSelected) || errors.Is(err, imagery.ErrNotFound) {
		return nil // it was finished meanwhile
	}
	return err
}

// removeOrphan removes an object if no upload can be about to name it: it is old, and its image, read again,
// takes no more bytes or is gone.
func (r *checking) removeOrphan(ctx context.Context, f fsck.Finding, stored, before time.Time) (action, left string, err error) {
	if !stored.Before(before) {
		return leaveIt, "it is younger than " + r.oldest.String(), nil
	}
	img, err := r.Service.Get(ctx, f.Image)
	if errors.Is(err, imagery.ErrInvalidID) || errors.Is(err, imagery.ErrNotFound) {
		err = nil
	} else if err == nil && (img.State != imagery.Processed || f.Key == img.RawKey || f.Key == img.ProcessedKey) {
		return leaveIt, "its image is " + string(img.State) + " and may still take it", nil
	}
	if err != nil || r.dry {
		return removeObject, "", err
	}
	removed, err := r.Store.RemoveObject(context.WithoutCancel(ctx), f.Key, before)
	if err == nil && !removed {
		return leaveIt, "it was put or named again meanwhile", nil
	}
	return removeObject, "", err
}

func (r *checking) print(c Call, s fsck.Snapshot, asJSON bool) error {
	counts := map[fsck.Class]int{fsck.Lost: 0, fsck.Duplicated: 0, fsck.Broken: 0, fsck.Unhinted: 0, fsck.Orphan: 0}
	for _, f := range r.found {
		counts[f.Class]++
	}
	if asJSON {
		return c.document(struct {
			Items    int                `json:"items"`
			Objects  int                `json:"objects"`
			Messages *int               `json:"messages"` // null where they cannot be listed
			Counts   map[fsck.Class]int `json:"counts"`
			Findings []fsck.Finding     `json:"findings"`
			DryRun   bool               `json:"dryRun"`
			Repairs  []repaired         `json:"repairs"`
		}{len(s.Items), len(s.Objects), messages(s), counts, append([]fsck.Finding{}, r.found...), r.repair && r.dry, r.repairs})
	}
	var err error
	if len(r.found) > 0 {
		rows := [][]string{{"CLASS", "IMAGE", "OBJECT", "DETAIL"}}
		for _, class := range []fsck.Class{fsck.Lost, fsck.Duplicated, fsck.Broken, fsck.Unhinted, fsck.Orphan} {
			for _, f := range r.found {
				if f.Class == class {
					rows = append(rows, []string{string(class), f.Image, f.Key, f.Detail})
				}
			}
		}
		err = c.columns(rows)
		fmt.Fprintln(c.Out)
	}
	if len(r.repairs) > 0 {
		err = errors.Join(err, c.columns(r.repairRows()))
		fmt.Fprintln(c.Out)
	}
	of := "messages not listed"
	if n := messages(s); n != nil {
		of = plural(*n, "message")
	}
	fmt.Fprintf(c.Out, "%s, %s, %s: lost %d, duplicated %d, broken %d, unhinted %d, orphans %d\n", plural(len(s.Items), "image"),
		plural(len(s.Objects), "object"), of, counts[fsck.Lost], counts[fsck.Duplicated], counts[fsck.Broken], counts[fsck.Unhinted], counts[fsck.Orphan])
	if r.repair && r.dry {
		fmt.Fprintln(c.Out, nothingChanged)
	}
	return err
}

func (r *checking) repairRows() [][]string {
	rows := [][]string{{"REPAIR", "IMAGE", "OBJECT", "DETAIL"}}
	for _, d := range r.repairs {
		detail := d.Detail
		if d.Error != "" {
			detail = "not done: " + d.Error
		}
		rows = append(rows, []string{strings.ReplaceAll(d.Action, " ", "-"), d.Image, d.Key, detail})
	}
	return rows
}

// messages is how many messages were read, nil where they cannot be listed.
func messages(s fsck.Snapshot) *int {
	if s.NoMessages {
		return nil
	}
	return new(len(s.Messages))
}

// verdict is the error of a store that needs a person.
func (r *checking) verdict() error {
	serious, failed := 0, 0
	for _, f := range r.found {
		if f.Class == fsck.Lost || f.Class == fsck.Duplicated || f.Class == fsck.Broken {
			serious++
		}
	}
	for _, d := range r.repairs {
		if d.Error != "" {
			failed++
		}
	}
	var errs []error
	if serious > 0 {
		errs = append(errs, fmt.Errorf("%s for a person", plural(serious, "finding")))
	}
	if failed > 0 {
		errs = append(errs, fmt.Errorf("%s could not be done", plural(failed, "repair")))
	}
	return errors.Join(errs...)
}
