package e2e

import (
	"bytes"
	"context"
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
	"strings"
	"testing"
	"time"

	"imagery/app/admin/fsck"
	"imagery/app/imagery"
	awsstore "imagery/app/store/aws"
	"imagery/app/store/local"
	"imagery/app/testing/fakeaws"
)

// desk is where an operator sits: a service on one backend, with its storage in reach of the test's own hands.
type desk struct {
	*testing.T
	flags []string // select the service
	env   []string // of the operator
	fleet func(more ...string) *program

	catalog     imagery.Catalog
	blobs       imagery.Blobs
	queue, dead imagery.Queue
	remove      func(key string) // of an object
	store       func() fsck.Snapshot

	data string // folder of the local backend, else empty
	aws  aws    // of the other one
}

// atDesks runs a test on both backends, side by side. Messages become dead letters quickly.
func atDesks(t *testing.T, test func(d *desk)) {
	t.Run("local", func(t *testing.T) {
		t.Parallel()
		test(localDesk(t))
	})
	t.Run("AWS", func(t *testing.T) {
		t.Parallel()
		test(cloudDesk(t))
	})
}

func localDesk(t *testing.T) *desk {
	data := t.TempDir()
	if err := local.Prepare(data); err != nil {
		t.Fatal(err)
	}
	s, err := local.Open(local.Options{Dir: data, Visibility: time.Second, MaxReceives: 2, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	quick := []string{"-visibility", "1s", "-max-receives", "2"}
	return &desk{T: t, data: data, flags: append(quick, "-data", data), catalog: s.Catalog(), blobs: s.Blobs(), queue: s.Queue(), dead: s.DeadLetters(),
		fleet: func(more ...string) *program {
			return start(t, data, nil, append(append(more, "-resend-after", "3s"), quick...)...)
		},
		remove: func(key string) {
			if err := os.Remove(filepath.Join(data, "objects", key)); err != nil {
				t.Fatal(err)
			}
		},
		store: func() fsck.Snapshot {
			s, err := fsck.Local(data)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}}
}

func cloudDesk(t *testing.T) *desk {
	c, s := fakeaws.Start(t, imagery.Limits{Visibility: time.Second, MaxReceives: 2})
	a := aws{c, s}
	b, err := awsstore.Open(t.Context(), awsstore.Options{Table: a.Table, Bucket: a.Bucket, QueueURL: a.QueueURL, S3PathStyle: true, AWS: a.Config("test")})
	if err != nil {
		t.Fatal(err)
	}
	env := append(a.Env("fleet"), "IMAGERY_FAILPOINTS_ON_AWS=1")
	return &desk{T: t, aws: a, flags: a.args(), env: append(a.Env("operator"), "IMAGERY_FAILPOINTS_ON_AWS=1"),
		catalog: b.Catalog(), blobs: b.Blobs(), queue: b.Queue(), dead: b.DeadLetters(),
		fleet: func(more ...string) *program {
			return start(t, t.TempDir(), env, a.args(append(more, "-resend-after", "3s")...)...)
		},
		remove: func(key string) {
			if err := b.DeleteObject(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		},
		store: func() fsck.Snapshot {
			s, err := fsck.AWS(context.WithoutCancel(t.Context()), a.DynamoDB(), a.S3(), a.Table, a.Bucket, true)
			if err != nil {
				t.Fatal(err)
			}
			for i, url := range []string{a.QueueURL, a.DLQURL} {
				for _, m := range a.Queues.Messages(url) {
					s.Messages = append(s.Messages, fsck.Message{Body: []byte(m.Body), Dead: i == 1})
				}
			}
			s.NoMessages = false
			return s
		}}
}

// verb runs one and returns what it printed; its exit code must be the wanted one, -1 for death by a signal. A
// pipe gets no progress: stderr has nothing but what went wrong, in one line.
func (d *desk) verb(code int, args ...string) (stdout, stderr string) {
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

// ask runs a verb with --json and reads the document into v.
func (d *desk) ask(code int, v any, args ...string) {
	d.Helper()
	out, _ := d.verb(code, append(args, "--json")...)
	dec := json.NewDecoder(strings.NewReader(out))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil || dec.Decode(&struct{}{}) != io.EOF {
		d.Fatalf("%v: %v: no JSON document: %s", args, err, out)
	}
}

// says fails unless the text has all the words.
func (d *desk) says(text string, words ...string) {
	d.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			d.Errorf("%q is missing in\n%s", w, text)
		}
	}
}

// image plants an image that went through the states, the last of them by a release and some time ago. Its original
// is a good photo.
func (d *desk) image(release string, ago time.Duration, states ...imagery.State) imagery.Image {
	d.Helper()
	now := time.Now().Add(-ago).Truncate(time.Millisecond)
	img := imagery.Image{ID: imagery.NewID(), State: imagery.Created, Created: now, Updated: now, Expires: now.Add(24 * time.Hour).Truncate(time.Second)}
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
			d.put(to.RawKey, photo)
		case imagery.Failed:
			to.Error = "It could not be processed in 5 attempts: a part of the service did not answer."
			e.Receives, e.Cause = 5, "the filter is out of ink"
		case imagery.Processed:
			to.ProcessedKey = imagery.ProcessedKey(img.ID, hash, "jpg")
			d.put(to.ProcessedKey, photo)
		}
		to.History = append(slices.Clone(img.History), e)
		if err := d.catalog.Move(d.Context(), img, to); err != nil {
			d.Fatal(err)
		}
		img = to
	}
	return img
}

func (d *desk) put(key string, body []byte) {
	d.Helper()
	if err := d.blobs.Put(d.Context(), key, "image/jpeg", bytes.NewReader(body), int64(len(body))); err != nil {
		d.Fatal(err)
	}
}

func (d *desk) get(id string) imagery.Image {
	d.Helper()
	img, err := d.catalog.Get(d.Context(), id)
	if err != nil {
		d.Fatal(err)
	}
	return img
}

// bury puts a message into the dead letters.
func (d *desk) bury(body string) {
	d.Helper()
	if err := d.dead.Send(d.Context(), []byte(body), ""); err != nil {
		d.Fatal(err)
	}
}

func hintOf(img imagery.Image) string {
	body, _ := json.Marshal(imagery.Hint{ImageID: img.ID, DesiredState: imagery.Processed, RawKey: img.RawKey})
	return string(body)
}

// unchanged runs f and fails if anything is stored otherwise afterwards.
func (d *desk) unchanged(f func()) {
	d.Helper()
	before := d.store()
	f()
	after := d.store()
	if fmt.Sprint(before.Items, before.Objects) != fmt.Sprint(after.Items, after.Objects) || !maps.Equal(bodies(before), bodies(after)) {
		d.Errorf("something changed:\n%+v\n%+v", before, after)
	}
}

// bodies counts messages, by whether they are dead letters.
func bodies(s fsck.Snapshot) map[string]int {
	n := map[string]int{}
	for _, m := range s.Messages {
		n[fmt.Sprint(m.Dead, string(m.Body))]++
	}
	return n
}

// letter is a dead letter as --json says it.
type letter struct {
	ID, ImageID, State, Reason, Cause, Release, Instance, Trace, Body, Redrive string
	Sent                                                                       time.Time
	Receives                                                                   int
	Action, Error                                                              string // of a redrive
	Done                                                                       bool
}

type redriveReport struct {
	DryRun  bool
	Letters []letter
}

// actions are what was done, by the state of the image.
func (r redriveReport) actions(d *desk, done bool) map[string]string {
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

// TestDeadLettersGoBack: a photo that killed its workers, and letters about all else, are listed, explained and sent
// back, whenever the operator's own process dies in between.
func TestDeadLettersGoBack(t *testing.T) {
	t.Parallel()
	atDesks(t, func(d *desk) {
		out, _ := d.verb(0, "dlq", "ls")
		d.says(out, "no dead letters\n")
		var letters []letter
		if d.ask(0, &letters, "dlq", "ls"); letters == nil || len(letters) > 0 {
			d.Errorf("no letters in JSON: %v", letters)
		}
		poison := imagery.NewID()
		fleet := d.fleet("-failpoint", fmt.Sprint(imagery.MidFilter, "@", poison))
		c := newClient(d, fleet.url)
		ctx, cancel := context.WithTimeout(d.Context(), time.Minute)
		defer cancel()
		if err := c.upload(ctx, poison, photo{"poison", encodeJPEG(d, scene(1, 60, 40)), "failed"}); err != nil {
			d.Fatal(err)
		}
		if v, err := c.final(ctx, poison); err != nil || v.State != "failed" {
			d.Fatalf("the poison: %+v, %v", v, err)
		}
		fleet.stop(d)
		processed := d.image("r1", time.Hour, imagery.Uploaded, imagery.Processed)
		created := d.image("r1", time.Hour)
		for _, body := range []string{hintOf(processed), hintOf(created), "not a\nhint", `{"imageId":"` + imagery.NewID() + `","desiredState":"processed"}`} {
			d.bury(body)
		}
		d.listed(poison)
		d.redriven(poison)
		fleet = d.fleet()
		if v, err := newClient(d, fleet.url).final(ctx, poison); err != nil || v.State != "processed" || v.Version != 4 {
			d.Errorf("the poison, after its cause was mended: %+v, %v", v, err)
		}
		fleet.stop(d)
		if s := d.store(); len(s.Messages) > 0 {
			d.Errorf("messages are left: %+v", s.Messages)
		}
	})
}

// listed looks at five letters.
func (d *desk) listed(poison string) {
	d.Helper()
	d.unchanged(func() {
		var all, some []letter
		d.ask(0, &all, "dlq", "ls")
		states := map[string]letter{}
		for _, l := range all {
			states[l.State] = l
		}
		if len(all) != 5 || len(states) != 5 || states["gone"].Redrive != "drop" || states["malformed"].Body != "not a\nhint" {
			d.Errorf("letters: %+v", all)
		}
		p := states["failed"]
		if p.ImageID != poison || p.Receives != 2 || p.Redrive != "requeue" || p.Instance == "" || p.Release == "" || time.Since(p.Sent) > time.Minute {
			d.Errorf("the poison's letter: %+v", p)
		}
		if d.ask(0, &some, "dlq", "ls", "--reason", "No Worker lived"); len(some) != 1 || some[0].ID != p.ID {
			d.Errorf("filtered by reason: %+v", some)
		}
		if d.ask(0, &some, "dlq", "show", strings.ToUpper(poison)); len(some) != 1 || some[0].ID != p.ID {
			d.Errorf("show by the image: %+v", some)
		}
		out, _ := d.verb(0, "dlq", "ls", "--id", p.ID)
		head, row, _ := strings.Cut(out, "\n")
		if strings.Index(head, "REASON") != strings.Index(row, "It could not") || strings.Count(out, "\n") != 2 {
			d.Errorf("columns:\n%s", out)
		}
		out, _ = d.verb(0, "dlq", "show", p.ID)
		d.says(out, poison, "no worker lived through 2 attempts", p.Body, "makes the image uploaded again")
		var dry redriveReport
		d.ask(0, &dry, "dlq", "redrive", "--dry-run")
		if got, want := dry.actions(d, false), map[string]string{"failed": "requeue", "processed": "drop", "created": "drop", "gone": "drop", "malformed": "keep"}; !maps.Equal(got, want) {
			d.Errorf("a dry run says %v, want %v", got, want)
		}
	})
}

// redriven sends them back. The operator's process dies twice on the way.
func (d *desk) redriven(poison string) {
	d.Helper()
	stored := func(state string, version int64, live, dead int) {
		d.Helper()
		img, n := d.get(poison), map[bool]int{}
		for _, m := range d.store().Messages {
			n[m.Dead]++
		}
		if string(img.State) != state || img.Version != version || n[false] != live || n[true] != dead {
			d.Errorf("the image is %s, version %d, with %d hints and %d letters; want %s, %d, %d, %d", img.State, img.Version, n[false], n[true], state, version, live, dead)
		}
	}
	visible := func() { // whoever dies takes letters along until their visibility ends
		for n := 0; n < 5; {
			var all []letter
			d.ask(0, &all, "dlq", "ls")
			n = len(all)
		}
	}
	d.verb(-1, "dlq", "redrive", "--id", poison, "-failpoint", string(imagery.BeforeHint))
	stored("uploaded", 3, 0, 5)
	visible()
	d.verb(-1, "dlq", "redrive", "--id", poison, "-failpoint", string(imagery.BeforeAck))
	stored("uploaded", 3, 1, 5)
	visible()
	var r redriveReport
	d.ask(0, &r, "dlq", "redrive", "--rate", "50")
	if got, want := r.actions(d, true), map[string]string{"uploaded": "resend", "processed": "drop", "created": "drop", "gone": "drop", "malformed": "keep"}; !maps.Equal(got, want) {
		d.Errorf("redrive did %v, want %v", got, want)
	}
	stored("uploaded", 3, 2, 1)
	out, _ := d.verb(0, "dlq", "redrive", "--drop-malformed")
	d.says(out, "drop", "not a hint")
	stored("uploaded", 3, 2, 0)
}
