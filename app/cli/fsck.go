package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
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
  unlisted    an unfinished image that the original application wrote: the reconciler does not see it before it is read
  orphan      an object that no image names, left by a crash or a lost race

The first three need a person, and the exit code is 1. Run it while nothing is uploaded, otherwise images in flight may
be listed as unhinted or orphan. It reads everything, which costs money on AWS. A queue on AWS cannot be listed: there
an image counts as unhinted when its hint is long overdue.

--repair sends missing hints, and removes orphans that are old enough and whose image is processed or gone, so that no
upload in flight can still name them. It changes nothing else.

--adopt makes unlisted images known to the reconciler and sends their hints: run it once on a table that you take over
from the original application.`

// fsckRun is one run of fsck.
type fsckRun struct {
	Deployment
	snapshot fsck.Snapshot
	now      time.Time
	repair   bool
	adopt    bool
	dryRun   bool
	minAge   time.Duration // of orphans to remove
	findings []fsck.Finding
	repairs  []repaired
}

// repaired is the outcome for a finding that --repair handles.
type repaired struct {
	fsck.Finding
	outcome
}

// minOrphanAge is the smallest value of --older-than. An upload stores its object up to settings.UploadTimeout before
// its item names it.
const minOrphanAge = 2 * time.Minute

func fsckCmd(fs *flag.FlagSet) func(context.Context, Invocation) error {
	r := fsckRun{repairs: []repaired{}}
	hashes := fs.Bool("hashes", false,
		"also read every object, and compare originals with their names (always done on a local data folder)")
	fs.BoolVar(&r.repair, "repair", false, "repair what is safe to repair")
	fs.BoolVar(&r.adopt, "adopt", false, "adopt unfinished images of the original application")
	fs.BoolVar(&r.dryRun, "dry-run", false, "with --repair or --adopt: print what would be done, and change nothing")
	fs.DurationVar(&r.minAge, "older-than", 24*time.Hour, "the `age` from which --repair removes orphans")
	return func(ctx context.Context, inv Invocation) error {
		if r.minAge < minOrphanAge {
			return usage("--older-than %s would remove uploads in flight: the minimum is %s", r.minAge, minOrphanAge)
		}
		return inv.use(ctx, func(d Deployment) (err error) {
			r.Deployment = d
			began := time.Now()
			done := inv.progress(func() string { return "reading everything since " + age(time.Since(began)) })
			r.snapshot, err = d.Snapshot(ctx, *hashes)
			if done(); err != nil {
				return errors.Join(interrupted(ctx), err)
			}
			r.now = d.Service.Now()
			r.findings = append(fsck.Check(r.snapshot), r.overdue()...)
			if r.repair || r.adopt {
				err = r.repairAll(ctx)
			}
			return errors.Join(r.print(inv), err, r.failure())
		})
	}
}

// overdue finds unfinished images whose hint should have been sent long ago. It is used where messages cannot be
// listed. A hint may be late by one interval, since the reconciler sends at a limited rate.
func (r *fsckRun) overdue() (found []fsck.Finding) {
	for _, i := range r.snapshot.Items {
		if !r.snapshot.NoMessages || i.State != string(imagery.Uploaded) || i.Updated == 0 {
			continue
		}
		due := r.Service.NextHint(imagery.Image{Updated: time.UnixMilli(i.Updated), Hinted: time.UnixMilli(i.Hinted)})
		if r.now.Sub(due) > r.Service.ResendAfter {
			found = append(found, fsck.Finding{Class: fsck.Unhinted, Image: i.ID,
				Detail: "its hint is due since " + formatTime(due) + " and was not sent"})
		}
	}
	return found
}

// repairAll repairs the findings that are safe to repair, and adopts images, as far as the flags ask for that.
func (r *fsckRun) repairAll(ctx context.Context) error {
	for _, f := range r.findings {
		if ctx.Err() != nil {
			return errInterrupted
		}
		result := repaired{Finding: f}
		var err error
		switch {
		case f.Class == fsck.Unlisted && r.adopt:
			result.Action = adopt
			if !r.dryRun {
				_, err = r.Service.Adopt(context.WithoutCancel(ctx), f.Image)
			}
		case f.Class == fsck.Unhinted && r.repair:
			result.Action, err = sendHint, r.sendHint(ctx, f.Image)
		case f.Class == fsck.Orphan && r.repair:
			result.Action = removeObject
			var kept string
			if kept, err = r.removeOrphan(ctx, f); kept != "" {
				result.Action, result.Detail = leaveIt, kept
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
	if r.dryRun {
		return nil
	}
	unfinished := func(img imagery.Image) bool { return img.State == imagery.Uploaded }
	_, _, err := r.Service.Requeue(context.WithoutCancel(ctx), id, r.Store, unfinished)
	if errors.Is(err, imagery.ErrNotSelected) || errors.Is(err, imagery.ErrNotFound) {
		return nil // it was finished meanwhile
	}
	return err
}

// removeOrphan removes an object that no upload in flight can name: it is old, and its image, read again, accepts no
// other upload or is gone. Kept is the reason for which an object was kept.
func (r *fsckRun) removeOrphan(ctx context.Context, f fsck.Finding) (kept string, err error) {
	before := r.now.Add(-r.minAge)
	if !r.snapshot.Stored[f.Key].Before(before) {
		return "it is younger than " + r.minAge.String(), nil
	}
	img, err := r.Service.Get(ctx, f.Image)
	gone := errors.Is(err, imagery.ErrInvalidID) || errors.Is(err, imagery.ErrNotFound)
	switch {
	case err != nil && !gone:
		return "", err
	case !gone && (img.State != imagery.Processed || f.Key == img.RawKey || f.Key == img.ProcessedKey):
		return "its image is " + string(img.State) + " and may still name it", nil
	case r.dryRun:
		return "", nil
	}
	removed, err := r.Store.RemoveObject(context.WithoutCancel(ctx), f.Key, before)
	if err == nil && !removed {
		return "it was stored or named again meanwhile", nil
	}
	return "", err
}

// classes are the classes of findings in the order of the output.
var classes = []fsck.Class{fsck.Lost, fsck.Duplicated, fsck.Broken, fsck.Unhinted, fsck.Unlisted, fsck.Orphan}

func (r *fsckRun) print(inv Invocation) error {
	counts := map[fsck.Class]int{}
	rows := [][]string{{"CLASS", "IMAGE", "OBJECT", "DETAIL"}}
	for _, class := range classes {
		counts[class] = 0
		for _, f := range r.findings {
			if f.Class == class {
				counts[class]++
				rows = append(rows, []string{string(class), f.Image, f.Key, f.Detail})
			}
		}
	}
	s, dryRun := r.snapshot, (r.repair || r.adopt) && r.dryRun
	messages, of := new(len(s.Messages)), plural(len(s.Messages), "message")
	if s.NoMessages {
		messages, of = nil, "messages not listed"
	}
	if inv.JSON {
		return inv.printJSON(struct {
			Items    int                `json:"items"`
			Objects  int                `json:"objects"`
			Messages *int               `json:"messages"` // null if they cannot be listed
			Counts   map[fsck.Class]int `json:"counts"`
			Findings []fsck.Finding     `json:"findings"`
			DryRun   bool               `json:"dryRun"`
			Repairs  []repaired         `json:"repairs"`
		}{len(s.Items), len(s.Objects), messages, counts, append([]fsck.Finding{}, r.findings...), dryRun, r.repairs})
	}
	repairs := [][]string{{"REPAIR", "IMAGE", "OBJECT", "DETAIL"}}
	for _, d := range r.repairs {
		action := strings.ReplaceAll(string(d.Action), " ", "-")
		repairs = append(repairs, []string{action, d.Image, d.Key, d.detail(d.Detail)})
	}
	var errs []error
	for _, table := range [][][]string{rows, repairs} {
		if len(table) > 1 {
			errs = append(errs, inv.table(table))
			fmt.Fprintln(inv.Out)
		}
	}
	if n := counts[fsck.Unlisted]; n > 0 && !r.adopt {
		fmt.Fprintf(inv.Out, "unlisted %d: imagery fsck --adopt makes them known to the reconciler\n", n)
	}
	fmt.Fprintf(inv.Out, "%s, %s, %s: lost %d, duplicated %d, broken %d, unhinted %d, orphans %d\n",
		plural(len(s.Items), "image"), plural(len(s.Objects), "object"), of, counts[fsck.Lost], counts[fsck.Duplicated],
		counts[fsck.Broken], counts[fsck.Unhinted], counts[fsck.Orphan])
	if dryRun {
		fmt.Fprintln(inv.Out, dryRunNote)
	}
	return errors.Join(errs...)
}

// failure returns an error if findings need a person or repairs failed.
func (r *fsckRun) failure() error {
	serious := 0
	for _, f := range r.findings {
		if f.Class == fsck.Lost || f.Class == fsck.Duplicated || f.Class == fsck.Broken {
			serious++
		}
	}
	var errs []error
	if serious > 0 {
		errs = append(errs, fmt.Errorf("%s that a person must handle", plural(serious, "finding")))
	}
	if failed := countFailed(r.repairs); failed > 0 {
		errs = append(errs, fmt.Errorf("%s failed: see above", plural(failed, "repair")))
	}
	return errors.Join(errs...)
}
