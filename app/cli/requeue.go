package cli

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"imagery/app/imagery"
)

const aboutRequeue = `Process failed images again, from the same originals

With an ID it requeues that image; of an unfinished one it only sends the hint again. With --failed it requeues every
failed image that the other flags select, for example after a bad release failed good photos. That reads the whole
table. Photos that are broken fail again. It may be killed and repeated at any time.`

// requeuer is one run of requeue.
type requeuer struct {
	Deployment
	bulk
	failed  bool
	release string
	since   time.Time
	reason  string
	results []requeued
}

// requeued is the outcome for one image.
type requeued struct {
	ImageID string `json:"imageId"`
	Version int64  `json:"version"` // after the requeue
	Reason  string `json:"reason,omitempty"`
	Release string `json:"release,omitempty"` // that failed the image
	outcome
}

func requeueCmd(fs *flag.FlagSet) func(context.Context, Invocation) error {
	r := requeuer{results: []requeued{}}
	fs.BoolVar(&r.failed, "failed", false, "all failed images, or those that --release, --since and --reason select")
	fs.StringVar(&r.release, "release", "", "failed by this `release`: the answer of /version, or its beginning")
	fs.Func("since", "failed since a `time`: an age such as 2h, or a time such as 2026-01-02T15:04:05Z",
		func(text string) (err error) {
			r.since, err = parseSince(text, time.Now())
			return err
		})
	fs.StringVar(&r.reason, "reason", "", "failed with these `words` in the reason or cause, in any case")
	r.bulk.flags(fs)
	return func(ctx context.Context, inv Invocation) error {
		id, err := r.parse(inv)
		if err != nil {
			return err
		}
		return inv.use(ctx, func(d Deployment) error {
			if r.Deployment = d; id != "" {
				if err := r.requeue(ctx, id, nil); err != nil {
					return err
				}
				return r.print(inv)
			}
			errs := []error{r.requeueAll(ctx, inv)}
			if failed := countFailed(r.results); failed > 0 {
				errs = append(errs, fmt.Errorf("%d of %s are unchanged: see above", failed, plural(len(r.results), "image")))
			}
			return errors.Join(append(errs, r.print(inv))...)
		})
	}
}

// parse checks the command line. It returns the id of the image to requeue, or "" for --failed.
func (r *requeuer) parse(inv Invocation) (id string, err error) {
	if err := r.validate(); err != nil {
		return "", err
	}
	switch {
	case r.failed && len(inv.Args) > 0:
		return "", usage("--failed selects all failed images: leave out %q, or --failed", inv.Args[0])
	case r.failed:
		return "", nil
	case r.release+r.reason != "" || !r.since.IsZero():
		return "", usage("--release, --since and --reason select among --failed images")
	case len(inv.Args) != 1:
		return "", usage("give one id of an image, or --failed")
	}
	return inv.idArg()
}

// parseSince parses an age or a time in the past. For "" it returns the zero time.
func parseSince(text string, now time.Time) (t time.Time, err error) {
	if text == "" {
		return t, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	if t, err = time.Parse(time.RFC3339, text); err != nil || t.After(now) {
		return t, fmt.Errorf("it is neither an age such as 2h nor a past time such as %s", formatTime(now.Add(-2*time.Hour)))
	}
	return t, nil
}

// selects reports whether the flags select the image.
func (r *requeuer) selects(img imagery.Image) bool {
	e := lastEvent(img)
	release := strings.ToLower(r.release)
	byRelease := e.Release != "" && (strings.HasPrefix(e.Release, release) || strings.HasPrefix(release, e.Release))
	return img.State == imagery.Failed && !img.Updated.Before(r.since) && contains(r.reason, img.Error, e.Cause) &&
		(release == "" || byRelease)
}

// requeueAll finds the images first and requeues them afterwards. So the scan does not see its own changes, and the
// progress line knows the total.
func (r *requeuer) requeueAll(ctx context.Context, inv Invocation) error {
	var ids []string
	var read, handled atomic.Int64
	done := inv.progress(func() string { return fmt.Sprintf("%d images read", read.Load()) })
	err := r.Store.Scan(ctx, func(img imagery.Image) error {
		if read.Add(1); r.selects(img) {
			ids = append(ids, img.ID)
		}
		return interrupted(ctx)
	})
	done()
	if stopped := interrupted(ctx); stopped != nil {
		return stopped
	}
	if err != nil {
		return fmt.Errorf("read all images: %w", err)
	}
	defer inv.progress(func() string { return fmt.Sprintf("%d of %d images", handled.Load(), len(ids)) })()
	for _, id := range ids {
		if err := r.wait(ctx); err != nil {
			return err
		}
		err := r.requeue(ctx, id, r.selects)
		if errors.Is(err, imagery.ErrNotFound) || errors.Is(err, imagery.ErrNotSelected) {
			continue // it was changed meanwhile
		}
		if err != nil {
			r.results = append(r.results, requeued{ImageID: id, outcome: outcome{Action: keep, Error: errorText(err)}})
		}
		handled.Add(1)
	}
	return nil
}

// errDryRun ends a requeue that would be possible.
var errDryRun = errors.New("dry run")

// dryFinder ends a requeue before it changes anything, once it has found the original.
type dryFinder struct{ imagery.Finder }

func (f dryFinder) Find(ctx context.Context, key string) error {
	return cmp.Or(f.Finder.Find(ctx, key), errDryRun)
}

// requeue requeues one image, or in a dry run checks whether that is possible. A nil selects accepts every image.
func (r *requeuer) requeue(ctx context.Context, id string, selects func(imagery.Image) bool) error {
	before, err := r.Service.Get(ctx, id)
	if err != nil {
		return err
	}
	result := requeued{ImageID: before.ID, Version: before.Version + 1, Reason: before.Error,
		outcome: outcome{Action: requeue}}
	if e := lastEvent(before); e.State == imagery.Failed {
		result.Release = e.Release
	}
	if before.State == imagery.Uploaded {
		result.Action, result.Version, result.Reason = resend, before.Version, "it is unfinished: its hint is sent again"
	}
	var objects imagery.Finder = r.Store
	if r.dryRun {
		objects = dryFinder{objects}
	}
	img, moved, err := r.Service.Requeue(context.WithoutCancel(ctx), id, objects, selects)
	switch {
	case err == nil:
		result.Version, result.Done = img.Version, true
	case moved:
		return fmt.Errorf("the image is uploaded again, but the reconciler must send its hint: %w", err)
	case !errors.Is(err, errDryRun):
		return err
	}
	r.results = append(r.results, result)
	return nil
}

func (r *requeuer) print(inv Invocation) error {
	rows := [][]string{{"IMAGE", "ACTION", "VERSION", "RELEASE", "DETAIL"}}
	for _, d := range r.results {
		rows = append(rows, []string{d.ImageID, string(d.Action), strconv.FormatInt(d.Version, 10), d.Release,
			d.detail(d.Reason)})
	}
	return r.outcomes(inv, "images", r.results, rows, "no failed image matches")
}
