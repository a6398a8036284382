package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"imagery/app/admin/fsck"
	"imagery/app/imagery"
	awsstore "imagery/app/store/aws"
	"imagery/app/store/local"
	"imagery/app/testing/fakeaws"
)

// deployment is a service on one backend with direct access to its storage, for tests of the operator commands.
type deployment struct {
	*testing.T
	flags []string // that select the service
	env   []string // of the operator
	fleet func(more ...string) *program

	catalog     imagery.Catalog
	blobs       imagery.Blobs
	queue, dead imagery.Queue
	remove      func(key string) // of an object
	snapshot    func() fsck.Snapshot

	data string // folder of the local backend, else empty
	aws  aws    // of the other one
}

// pace has the timeouts of a service.
type pace struct {
	visibility  time.Duration
	maxReceives int
	resend      time.Duration // the age at which the hint of an unfinished image is sent again
}

// quick makes dead letters quickly. On a slow machine a shorter visibility timeout would do that to good photos, too.
// No hint is sent again before the deliveries of the first are used up.
var quick = pace{3 * time.Second, 2, 20 * time.Second}

// onBothBackends runs a test on both backends in parallel.
func onBothBackends(t *testing.T, p pace, test func(d *deployment)) {
	t.Run("local", func(t *testing.T) {
		t.Parallel()
		test(localDeployment(t, p))
	})
	t.Run("AWS", func(t *testing.T) {
		t.Parallel()
		test(awsDeployment(t, p))
	})
}

func localDeployment(t *testing.T, p pace) *deployment {
	data := t.TempDir()
	if err := local.Prepare(data); err != nil {
		t.Fatal(err)
	}
	s, err := local.Open(local.Options{Dir: data, Visibility: p.visibility, MaxReceives: p.maxReceives,
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	limits := []string{"-visibility", p.visibility.String(), "-max-receives", strconv.Itoa(p.maxReceives)}
	return &deployment{T: t, data: data, flags: append(limits, "-data", data), catalog: s.Catalog(), blobs: s.Blobs(),
		queue: s.Queue(), dead: s.DeadLetters(),
		fleet: func(more ...string) *program {
			return start(t, data, nil, append(append(more, "-resend-after", p.resend.String()), limits...)...)
		},
		remove: func(key string) {
			if err := os.Remove(filepath.Join(data, "objects", key)); err != nil {
				t.Fatal(err)
			}
		},
		snapshot: func() fsck.Snapshot {
			s, err := fsck.Local(data)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}}
}

func awsDeployment(t *testing.T, p pace) *deployment {
	c, s := fakeaws.Start(t, imagery.Limits{Visibility: p.visibility, MaxReceives: p.maxReceives})
	a := aws{c, s}
	b, err := awsstore.Open(t.Context(), awsstore.Options{Table: a.Table, Bucket: a.Bucket, QueueURL: a.QueueURL,
		S3PathStyle: true, AWS: a.Config("test")})
	if err != nil {
		t.Fatal(err)
	}
	env := append(a.Env("fleet"), "IMAGERY_FAILPOINTS_ON_AWS=1")
	return &deployment{T: t, aws: a, flags: a.args(), env: append(a.Env("operator"), "IMAGERY_FAILPOINTS_ON_AWS=1"),
		catalog: b.Catalog(), blobs: b.Blobs(), queue: b.Queue(), dead: b.DeadLetters(),
		fleet: func(more ...string) *program {
			return start(t, t.TempDir(), env, a.args(append(more, "-resend-after", p.resend.String())...)...)
		},
		remove: func(key string) {
			if err := b.DeleteObject(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		},
		snapshot: func() fsck.Snapshot { return a.snapshot(t) }}
}

// run runs a command and returns its output. The exit code must be code, or -1 for death by a signal. As the output is
// no terminal, there is no progress display, and an error is one line on stderr.
func (d *deployment) run(code int, args ...string) (stdout, stderr string) {
	d.Helper()
	cmd := exec.Command(exe, append(args, d.flags...)...)
	cmd.Env = append(os.Environ(), d.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		d.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		d.Fatalf("%v: exit code %d, want %d\n%s%s", args, got, code, out.String(), errs.String())
	}
	if lines := strings.Count(errs.String(), "\n"); code == 0 && lines > 0 || code > 0 && lines != 1 {
		d.Errorf("%v: stderr has %d lines: %s", args, lines, errs.String())
	}
	return out.String(), errs.String()
}

// runJSON runs a command with --json and decodes its output into v.
func (d *deployment) runJSON(code int, v any, args ...string) {
	d.Helper()
	out, _ := d.run(code, append(args, "--json")...)
	dec := json.NewDecoder(strings.NewReader(out))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil || dec.Decode(&struct{}{}) != io.EOF {
		d.Fatalf("%v: %v: no JSON document: %s", args, err, out)
	}
}

// contains fails the test unless text contains all words.
func (d *deployment) contains(text string, words ...string) {
	d.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			d.Errorf("%q is missing in\n%s", w, text)
		}
	}
}

// addImage stores an image that went through the states, the last of them by release and some time ago. Its original is
// a valid photo.
func (d *deployment) addImage(release string, ago time.Duration, states ...imagery.State) imagery.Image {
	d.Helper()
	now := time.Now().Add(-ago).Truncate(time.Millisecond)
	img := imagery.Image{ID: imagery.NewID(), State: imagery.Created, Created: now, Updated: now,
		Expires: now.Add(24 * time.Hour).Truncate(time.Second)}
	if err := d.catalog.Create(d.Context(), img, now); err != nil {
		d.Fatal(err)
	}
	photo := encodeJPEG(d, scene(1, 60, 40))
	hash := fsck.HashOf(photo)
	for _, state := range states {
		to := img
		to.State, to.Version, to.Expires, to.Error, to.ProcessedKey = state, img.Version+1, time.Time{}, "", ""
		e := imagery.Event{At: now, State: state, Version: to.Version, Release: release, Instance: "i-1"}
		switch state {
		case imagery.Uploaded:
			to.RawKey, to.Hinted = imagery.RawKey(img.ID, hash), now
			d.putObject(to.RawKey, photo)
		case imagery.Failed:
			to.Error = "It could not be processed in 5 attempts: a part of the service did not answer."
			e.Receives, e.Cause = 5, "the filter is out of ink"
		case imagery.Processed:
			to.ProcessedKey = imagery.ProcessedKey(img.ID, hash, "jpg")
			d.putObject(to.ProcessedKey, photo)
		}
		to.History = append(slices.Clone(img.History), e)
		if err := d.catalog.Move(d.Context(), img, to); err != nil {
			d.Fatal(err)
		}
		img = to
	}
	return img
}

func (d *deployment) putObject(key string, body []byte) {
	d.Helper()
	if err := d.blobs.Put(d.Context(), key, "image/jpeg", bytes.NewReader(body), int64(len(body))); err != nil {
		d.Fatal(err)
	}
}

func (d *deployment) get(id string) imagery.Image {
	d.Helper()
	img, err := d.catalog.Get(d.Context(), id)
	if err != nil {
		d.Fatal(err)
	}
	return img
}

// addDeadLetter sends a message to the dead-letter queue.
func (d *deployment) addDeadLetter(body string) {
	d.Helper()
	if err := d.dead.Send(d.Context(), []byte(body), ""); err != nil {
		d.Fatal(err)
	}
}

func hintOf(img imagery.Image) string {
	body, _ := json.Marshal(imagery.Hint{ImageID: img.ID, DesiredState: imagery.Processed, RawKey: img.RawKey})
	return string(body)
}

// expectUnchanged runs f and fails the test if the stored state differs afterwards.
func (d *deployment) expectUnchanged(f func()) {
	d.Helper()
	before := d.snapshot()
	f()
	after := d.snapshot()
	if fmt.Sprint(before.Items, before.Objects) != fmt.Sprint(after.Items, after.Objects) ||
		!maps.Equal(countMessages(before), countMessages(after)) {
		d.Errorf("something changed:\n%+v\n%+v", before, after)
	}
}

// countMessages counts messages by body and queue.
func countMessages(s fsck.Snapshot) map[string]int {
	n := map[string]int{}
	for _, m := range s.Messages {
		n[fmt.Sprint(m.Dead, string(m.Body))]++
	}
	return n
}
