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

const aboutFsck = `Compare the table, the objects and the messages with each other, and list what is wrong

  lost        an accepted photo cannot be finished any more, or its result is gone
  duplicated  one upload has more than one result
  broken      an item or object that no legal history explains
  unhinted    an unfinished image without a hint; the reconciler will send one
  orphan      an object that no image names, left by a crash or a lost race

The first three need a person, and the exit code is 1. Run it while nothing is uploaded, otherwise images in flight may
be listed as unhinted or orphan. It reads everything, which costs money on AWS. A queue on AWS cannot be listed: there
an image counts as unhinted when its hint is long overdue.

--repair sends missing hints, and removes orphans that are old enough and whose image is processed or gone, so that no
upload in flight can still name them. It changes nothing else.`

// fsckRun is one run of fsck.
type fsckRun struct {
	Deployment
	hashes   bool
	repair   bool
	dryRun   bool
	minAge   time.Duration // of orphans to remove
	findings []fsck.Finding
	repairs  []repaired
}

// repaired is the outcome for a finding that --repair handles.
type repaired struct {
	fsck.Finding
	Action string `json:"action"`
	Done   bool   `json:"done"` // false in a dry run, for an object that is kept, and after an error
	Error  string `json:"error,omitempty"`
}

// Actions of a repair.
const (
	sendHint     = "send hint"
	removeObject = "remove object"
	leaveIt      = "leave it"
)

// minOrphanAge is the smallest value of --older-than. An upload stores its object up to settings.UploadTimeout before
// its item names it.
const minOrphanAge = 2 * time.Minute

// fsckCmd is the command fsck.
func fsckCmd(fs *flag.FlagSet) func(context.Context, Invocation) error {
	r := fsckRun{repairs: []repaired{}}
	fs.BoolVar(&r.hashes, "hashes", false,
		"also read every object, and compare originals with their names (always done on a local data folder)")
	fs.BoolVar(&r.repair, "repair", false, "repair what is safe to repair")
	fs.BoolVar(&r.dryRun, "dry-run", false, "with --repair: print what would be repaired, and change nothing")
	fs.DurationVar(&r.minAge, "older-than", 24*time.Hour, "the `age` from which --repair removes orphans")
	asJSON := jsonFlag(fs)
	return func(ctx context.Context, inv Invocation) (err error) {
		if r.minAge < minOrphanAge {
			return usage("--older-than %s would remove uploads in flight: the minimum is %s", r.minAge, minOrphanAge)
		}
		if r.Deployment, err = inv.open(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		began := time.Now()
		done := inv.progress(func() string { return "reading everything since " + age(time.Since(began)) })
		s, err := r.Snapshot(ctx, r.hashes)
		done()
		if err != nil {
			return errors.Join(interrupted(ctx), err)
		}
		now := r.Service.Now()
		r.findings = slices.Concat(fsck.Check(s), r.overdue(s, now))
		if r.repair {
			err = r.repairAll(ctx, s, now)
		}
		return errors.Join(r.print(inv, s, *asJSON), err, r.failure())
	}
}

// overdue finds unfinished images whose hint should have been sent long ago. It is used where messages cannot be
// listed. A hint may be late by one interval, since the reconciler sends at a limited rate.
func (r *fsckRun) overdue(s fsck.Snapshot, now time.Time) (found []fsck.Finding) {
	if !s.NoMessages {
		return nil
	}
	for _, i := range s.Items {
		if i.State != string(imagery.Uploaded) || i.Updated == 0 {
			continue
		}
		due := r.Service.NextHint(imagery.Image{Updated: time.UnixMilli(i.Updated), Hinted: time.UnixMilli(i.Hinted)})
		if now.Sub(due) > r.Service.ResendAfter {
			found = append(found, fsck.Finding{Class: fsck.Unhinted, Image: i.ID,
				Detail: "its hint is due since " + formatTime(due) + " and was not sent"})
		}
	}
	return found
}

// repairAll repairs the findings that are safe to repair.
func (r *fsckRun) repairAll(ctx context.Context, s fsck.Snapshot, now time.Time) error {
	for _, f := range r.findings {
		if ctx.Err() != nil {
			return errInterrupted
		}
		result := repaired{Finding: f}
		var err error
		switch f.Class {
		case fsck.Unhinted:
			result.Action = sendHint
			if !r.dryRun {
				err = r.sendHint(ctx, f.Image)
			}
		case fsck.Orphan:
			var kept string
			if result.Action, kept, err = r.removeOrphan(ctx, f, s.Stored[f.Key], now.Add(-r.minAge)); kept != "" {
				result.Detail = kept
			}
		default:
			continue
		}
		if result.Done = err == nil && !r.dryRun && result.Action != leaveIt; err != nil {
			result.Error = errorText(err)
		}
		r.repairs = append(r.repairs, result)
	}
	return nil
}

// sendHint sends the hint of an image that is still unfinished.
func (r *fsckRun) sendHint(ctx context.Context, id string) error {
	unfinished := func(img imagery.Image) bool { return img.State == imagery.Uploaded }
	_, _, err := r.Service.Requeue(context.WithoutCancel(ctx), id, r.Store, unfinished)
	if errors.Is(err, imagery.ErrNotSelected) || errors.Is(err, imagery.ErrNotFound) {
		return nil // it was finished meanwhile
	}
	return err
}

// removeOrphan removes an object that no upload in flight can name: it is old, and its image, read again, accepts no
// other upload or is gone. Kept is the reason for which an object was kept.
func (r *fsckRun) removeOrphan(ctx context.Context, f fsck.Finding, stored, before time.Time) (
	action, kept string, err error) {
	if !stored.Before(before) {
		return leaveIt, "it is younger than " + r.minAge.String(), nil
	}
	img, err := r.Service.Get(ctx, f.Image)
	if errors.Is(err, imagery.ErrInvalidID) || errors.Is(err, imagery.ErrNotFound) {
		err = nil
	} else if err == nil && (img.State != imagery.Processed || f.Key == img.RawKey || f.Key == img.ProcessedKey) {
		return leaveIt, "its image is " + string(img.State) + " and may still name it", nil
	}
	if err != nil || r.dryRun {
		return removeObject, "", err
	}
	removed, err := r.Store.RemoveObject(context.WithoutCancel(ctx), f.Key, before)
	if err == nil && !removed {
		return leaveIt, "it was stored or named again meanwhile", nil
	}
	return removeObject, "", err
}

func (r *fsckRun) print(inv Invocation, s fsck.Snapshot, asJSON bool) error {
	counts := map[fsck.Class]int{fsck.Lost: 0, fsck.Duplicated: 0, fsck.Broken: 0, fsck.Unhinted: 0, fsck.Orphan: 0}
	for _, f := range r.findings {
		counts[f.Class]++
	}
	if asJSON {
		return inv.printJSON(struct {
			Items    int                `json:"items"`
			Objects  int                `json:"objects"`
			Messages *int               `json:"messages"` // null if they cannot be listed
			Counts   map[fsck.Class]int `json:"counts"`
			Findings []fsck.Finding     `json:"findings"`
			DryRun   bool               `json:"dryRun"`
			Repairs  []repaired         `json:"repairs"`
		}{len(s.Items), len(s.Objects), messages(s), counts, append([]fsck.Finding{}, r.findings...), r.repair && r.dryRun,
			r.repairs})
	}
	var err error
	if len(r.findings) > 0 {
		rows := [][]string{{"CLASS", "IMAGE", "OBJECT", "DETAIL"}}
		for _, class := range []fsck.Class{fsck.Lost, fsck.Duplicated, fsck.Broken, fsck.Unhinted, fsck.Orphan} {
			for _, f := range r.findings {
				if f.Class == class {
					rows = append(rows, []string{string(class), f.Image, f.Key, f.Detail})
				}
			}
		}
		err = inv.table(rows)
		fmt.Fprintln(inv.Out)
	}
	if len(r.repairs) > 0 {
		err = errors.Join(err, inv.table(r.repairRows()))
		fmt.Fprintln(inv.Out)
	}
	of := "messages not listed"
	if n := messages(s); n != nil {
		of = plural(*n, "message")
	}
	fmt.Fprintf(inv.Out, "%s, %s, %s: lost %d, duplicated %d, broken %d, unhinted %d, orphans %d\n",
		plural(len(s.Items), "image"), plural(len(s.Objects), "object"), of, counts[fsck.Lost], counts[fsck.Duplicated],
		counts[fsck.Broken], counts[fsck.Unhinted], counts[fsck.Orphan])
	if r.repair && r.dryRun {
		fmt.Fprintln(inv.Out, dryRunNote)
	}
	return err
}

func (r *fsckRun) repairRows() [][]string {
	rows := [][]string{{"REPAIR", "IMAGE", "OBJECT", "DETAIL"}}
	for _, d := range r.repairs {
		rows = append(rows, []string{strings.ReplaceAll(d.Action, " ", "-"), d.Image, d.Key, notDone(d.Error, d.Detail)})
	}
	return rows
}

// messages returns the number of messages, or nil if they cannot be listed.
func messages(s fsck.Snapshot) *int {
	if s.NoMessages {
		return nil
	}
	return new(len(s.Messages))
}

// failure returns an error if findings need a person or repairs failed.
func (r *fsckRun) failure() error {
	serious, failed := 0, 0
	for _, f := range r.findings {
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
		errs = append(errs, fmt.Errorf("%s that a person must handle", plural(serious, "finding")))
	}
	if failed > 0 {
		errs = append(errs, fmt.Errorf("%s failed: see above", plural(failed, "repair")))
	}
	return errors.Join(errs...)
}
