package e2e

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagery/app/admin/fsck"
	"imagery/app/imagery"
)

// requeueReport is the output of requeue --json.
type requeueReport struct {
	DryRun bool
	Images []struct {
		ImageID, Action, Reason, Release, Error string
		Version                                 int64
		Done                                    bool
	}
}

// actions returns the actions by image id; "keep" means an error.
func (r requeueReport) actions() map[string]string {
	got := map[string]string{}
	for _, i := range r.Images {
		got[i.ImageID] = i.Action
	}
	return got
}

// requeued returns the actions of a requeue of these images.
func requeued(list ...imagery.Image) map[string]string {
	want := map[string]string{}
	for _, i := range list {
		want[i.ID] = "requeue"
	}
	return want
}

// TestBadReleaseIsUndone requeues the photos that a faulty release failed, selected by release, time and reason.
// Workers of another release process them; other images do not change.
func TestBadReleaseIsUndone(t *testing.T) {
	t.Parallel()
	onBothBackends(t, quick, func(d *deployment) {
		const bad, good = "0bad0bad0bad", "600d600d600d"
		a := d.addImage(bad, time.Minute, imagery.Uploaded, imagery.Failed)
		b := d.addImage(bad, time.Minute, imagery.Uploaded, imagery.Failed)
		old := d.addImage(bad, 3*time.Hour, imagery.Uploaded, imagery.Failed)
		foreign := d.addImage(good, time.Minute, imagery.Uploaded, imagery.Failed)
		d.addImage(bad, time.Minute, imagery.Uploaded, imagery.Processed)
		recently := time.Now().Add(-10 * time.Minute).Format(time.RFC3339)
		d.expectUnchanged(func() {
			for _, c := range []struct {
				args []string
				want map[string]string
			}{
				{[]string{"--failed", "--release", bad[:4]}, requeued(a, b, old)},
				{[]string{"--failed", "--release", bad + strings.Repeat("0", 52), "--since", "2h", "--reason", "INK"},
					requeued(a, b)},
				{[]string{"--failed", "--since", recently}, requeued(a, b, foreign)},
				{[]string{"--failed", "--reason", "no such words"}, requeued()},
				{[]string{strings.ToUpper(old.ID)}, requeued(old)},
			} {
				var r requeueReport
				d.runJSON(0, &r, append([]string{"requeue", "--dry-run"}, c.args...)...)
				if !r.DryRun || !maps.Equal(r.actions(), c.want) {
					d.Errorf("%v: %+v, want %v", c.args, r, c.want)
				}
			}
			out, _ := d.run(0, "requeue", "--failed", "--reason", "no such words")
			d.contains(out, "no failed image matches\n")
		})
		lost := d.addImage(bad, time.Minute, imagery.Uploaded, imagery.Failed)
		d.remove(lost.RawKey)
		var r requeueReport
		d.runJSON(1, &r, "requeue", "--failed", "--release", bad, "--since", "2h", "--rate", "100")
		want := requeued(a, b)
		want[lost.ID] = "keep"
		if r.DryRun || !maps.Equal(r.actions(), want) {
			d.Errorf("requeue did %+v, want %v", r, want)
		}
		for _, i := range r.Images {
			if i.Done != (i.ImageID != lost.ID) || i.Done != (i.Version == 3) || !i.Done &&
				!strings.Contains(i.Error, "original is gone") {
				d.Errorf("image: %+v", i)
			}
		}
		out, _ := d.run(0, "requeue", "-rate=100", old.ID) // a flag stands before it, and others behind it
		d.contains(out, old.ID, "requeue  3", bad)
		d.checkReprocessed(old, a, b)
		for _, img := range []imagery.Image{foreign, lost} {
			if now := d.get(img.ID); now.Version != img.Version {
				d.Errorf("an image that was not asked for became %+v", now)
			}
		}
	})
}

// checkReprocessed runs a fleet until it has processed the requeued images.
func (d *deployment) checkReprocessed(list ...imagery.Image) {
	d.Helper()
	fleet := d.fleet()
	c := newClient(d, fleet.url)
	ctx, cancel := context.WithTimeout(d.Context(), 5*time.Minute)
	defer cancel()
	for _, img := range list {
		if v, err := c.final(ctx, img.ID); err != nil || v.State != "processed" || v.Version != img.Version+2 ||
			v.RawKey != img.RawKey {
			d.Errorf("brought back: %+v, %v", v, err)
		}
	}
	fleet.stop(d)
}

// whyReport is the output of why --json.
type whyReport struct {
	ID, State, Error, Next            string
	Version                           int64
	Created, Updated, Hinted, Expires time.Time
	Original, Result                  *struct {
		Key, Problem string
		Exists       *bool
	}
	History []imagery.Event
}

// TestWhy checks the report for each state: history, current state and next step.
func TestWhy(t *testing.T) {
	t.Parallel()
	onBothBackends(t, quick, func(d *deployment) {
		lost := d.addImage("r1", time.Minute, imagery.Uploaded, imagery.Failed)
		d.remove(lost.RawKey)
		broken := d.addImage("r1", time.Minute, imagery.Uploaded, imagery.Processed)
		d.remove(broken.ProcessedKey)
		for _, c := range []struct {
			img  imagery.Image
			want []string
		}{
			{d.addImage("r1", time.Minute), []string{"created since", "(1m)", "original  none", "waits for its upload"}},
			{d.addImage("r1", 0, imagery.Uploaded), []string{"uploaded since", "exists", "result     none",
				"a worker processes it"}},
			{d.addImage("r1", time.Hour, imagery.Uploaded), []string{"should be processing it", "imagery requeue"}},
			{d.addImage("r1", 72*time.Hour, imagery.Uploaded, imagery.Processed),
				[]string{"processed since", "(3d)", "it is done"}},
			{d.addImage("r1", time.Minute, imagery.Uploaded, imagery.Failed),
				[]string{"did not answer", "out of ink", "i-1", "imagery requeue"}},
			{lost, []string{"gone", "only its user"}},
			{broken, []string{"result is gone"}},
		} {
			out, _ := d.run(0, "why", strings.ToUpper(c.img.ID))
			d.contains(out, append(c.want, c.img.ID)...)
			if rows := strings.Count(out, "  r1 "); rows != len(c.img.History) {
				d.Errorf("%d transitions are shown, want %d:\n%s", rows, len(c.img.History), out)
			}
			var p whyReport
			d.runJSON(0, &p, "why", c.img.ID)
			if p.ID != c.img.ID || p.State != string(c.img.State) || p.Version != c.img.Version || p.Error != c.img.Error ||
				p.Next == "" ||
				!p.Updated.Equal(c.img.Updated) || len(p.History) != len(c.img.History) ||
				(p.Original == nil) != (c.img.RawKey == "") {
				d.Errorf("%+v, want %+v", p, c.img)
			}
			if p.Original != nil && *p.Original.Exists == (c.img.ID == lost.ID) || p.Result != nil &&
				*p.Result.Exists == (c.img.ID == broken.ID) {
				d.Errorf("objects: %+v", p)
			}
		}
		_, stderr := d.run(1, "why", imagery.NewID())
		d.contains(stderr, "there is no image")
	})
}

// fsckReport is the output of fsck --json.
type fsckReport struct {
	Items, Objects int
	Messages       *int
	Counts         map[fsck.Class]int
	Findings       []fsck.Finding
	DryRun         bool
	Repairs        []struct {
		fsck.Finding
		Action, Error string
		Done          bool
	}
}

// TestFsckFindsAndRepairs checks a healthy store, each class of damage, and that repairs change only what is safe to
// repair.
func TestFsckFindsAndRepairs(t *testing.T) {
	t.Parallel()
	onBothBackends(t, quick, func(d *deployment) {
		d.addImage("r1", 0)
		failed := d.addImage("r1", 0, imagery.Uploaded, imagery.Failed)
		healthy := d.addImage("r1", 0, imagery.Uploaded, imagery.Processed)
		var r fsckReport
		if d.runJSON(0, &r, "fsck"); r.Items != 3 || r.Objects != 3 || len(r.Findings) > 0 ||
			(r.Messages == nil) != (d.data == "") {
			d.Errorf("a healthy store: %+v", r)
		}
		out, _ := d.run(0, "fsck", "--hashes")
		d.contains(out, "3 images, 3 objects", "lost 0, duplicated 0, broken 0, unhinted 0, orphans 0\n")
		// Only repairable damage.
		late := d.addImage("r1", time.Hour, imagery.Uploaded)
		d.putObject("upload/"+imagery.NewID()+"/"+fsck.HashOf([]byte("stray")), []byte("stray"))
		d.putObject("upload/"+failed.ID+"/"+fsck.HashOf([]byte("stray")), []byte("stray"))
		d.putObject("processed/"+healthy.ID+"/"+fsck.HashOf([]byte("stray"))+".png", []byte("stray"))
		d.age(48 * time.Hour)
		d.expectUnchanged(func() {
			d.runJSON(0, &r, "fsck", "--repair", "--dry-run")
			d.checkRepairs(r, false, late)
		})
		d.runJSON(0, &r, "fsck", "--repair")
		d.checkRepairs(r, true, late)
		if n := len(d.snapshot().Messages); n != 1 {
			d.Errorf("%d hints after the repair", n)
		}
		// Damage that cannot be repaired.
		gone := d.addImage("r1", 0, imagery.Uploaded, imagery.Processed)
		d.remove(gone.ProcessedKey)
		twice := d.addImage("r1", 0, imagery.Uploaded, imagery.Processed)
		d.putObject(strings.TrimSuffix(twice.ProcessedKey, "jpg")+"png", []byte("again"))
		bent := d.addImage("r1", 0, imagery.Uploaded, imagery.Processed)
		d.putObject(bent.RawKey, []byte("other bytes"))
		broken := d.addImage("r1", 0)
		to := broken
		to.Error = "a failure in created"
		if err := d.catalog.Move(d.Context(), broken, to); err != nil {
			d.Fatal(err)
		}
		d.runJSON(1, &r, "fsck", "--hashes", "--repair")
		classes := map[string]fsck.Class{}
		for _, f := range r.Findings {
			classes[f.Image] = f.Class
		}
		for id, want := range map[string]fsck.Class{gone.ID: fsck.Lost, twice.ID: fsck.Duplicated, bent.ID: fsck.Lost,
			broken.ID: fsck.Broken} {
			if classes[id] != want && !(id == twice.ID && classes[id] == fsck.Orphan && r.Counts[fsck.Duplicated] == 1) {
				d.Errorf("%s is %q, want %q: %+v", id, classes[id], want, r.Findings)
			}
		}
		out, stderr := d.run(1, "fsck", "--hashes")
		d.contains(out, "lost 2, duplicated 1, broken 1")
		d.contains(stderr, "4 findings that a person must handle")
	})
}

// age makes all files of a local store older. The emulated bucket cannot do that.
func (d *deployment) age(by time.Duration) {
	d.Helper()
	if d.data == "" {
		return
	}
	then := time.Now().Add(-by)
	err := filepath.WalkDir(filepath.Join(d.data, "objects"), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		return os.Chtimes(path, then, then)
	})
	if err != nil {
		d.Fatal(err)
	}
}

// checkRepairs checks the repairs of one overdue hint and three unreferenced objects, one of which its image may still
// use.
func (d *deployment) checkRepairs(r fsckReport, done bool, late imagery.Image) {
	d.Helper()
	did := map[string]int{}
	for _, f := range r.Repairs {
		did[f.Action]++
		if f.Error != "" || f.Done != (done && f.Action != "leave it") || f.Action == "send hint" && f.Image != late.ID {
			d.Errorf("repair: %+v", f)
		}
	}
	want := map[string]int{"send hint": 1, "remove object": 2, "leave it": 1}
	if d.data == "" { // all are young there
		want = map[string]int{"send hint": 1, "leave it": 3}
	}
	if !maps.Equal(did, want) || r.DryRun == done || r.Counts[fsck.Orphan] != 3 || r.Counts[fsck.Unhinted] != 1 {
		d.Errorf("repairs %v, want %v: %+v", did, want, r)
	}
}
