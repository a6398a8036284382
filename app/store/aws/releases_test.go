package aws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"imagery/app/imagery"
	awsstore "imagery/app/store/aws"
	"imagery/app/testing/fakeaws"
)

var update = flag.Bool("update", false, "record what this release writes in testdata/releases/next.json")

// released contains the items and hints of one release. Later releases must read them, during a rollout and as long as
// the images exist, so files in testdata/releases are added and never changed.
type released struct {
	Release string          `json:"release"`
	Images  []releasedImage `json:"images"`
}

type releasedImage struct {
	Hints []string        `json:"hints,omitempty"`
	Item  json.RawMessage `json:"item"` // in DynamoDB's own JSON
}

func releases(t *testing.T) map[string]released {
	t.Helper()
	files, err := filepath.Glob("testdata/releases/*.json")
	must(t, err)
	out := map[string]released{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		must(t, err)
		var r released
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		out[filepath.Base(f)] = r
	}
	return out
}

// unknown is an attribute that a later release might add.
const unknown = "ofALaterRelease"

// kept returns the attributes that a transition must not change.
func kept(item map[string]types.AttributeValue) map[string]types.AttributeValue {
	out := maps.Clone(item)
	for _, ours := range []string{"version", "state", "updated", "hinted", "expires", "rawS3Key", "processedS3Key",
		"warning", "error", "pending", "history"} {
		delete(out, ours)
	}
	return out
}

// Images of every release are processed by this one, with the hints of that release, and keep unknown attributes.
func TestImagesOfEveryReleaseAreProcessed(t *testing.T) {
	at, stack, b := started(t)
	for file, r := range releases(t) {
		for _, from := range r.Images {
			item, err := attributevalue.UnmarshalMapJSON(from.Item)
			must(t, err)
			item[unknown] = &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"kept": number(1)}}
			delete(item, "expires") // it is in the past
			putItem(t, at, stack.Table, item)
			id := item["id"].(*types.AttributeValueMemberS).Value
			state := finish(t, b, id, from.Hints)
			if state != imagery.Processed {
				t.Errorf("%s: image %s ended %s", file, id, state)
			}
			if now := stored(t, at, stack.Table, id); !reflect.DeepEqual(kept(now), kept(item)) {
				t.Errorf("%s: image %s kept %v of %v", file, id, kept(now), kept(item))
			}
		}
	}
}

// finish processes an image of any state, as its user and a worker would.
func finish(t *testing.T, b *awsstore.Store, id string, hints []string) imagery.State {
	t.Helper()
	s := serviceOn(b, false)
	img, err := s.Get(t.Context(), id)
	must(t, err)
	if img.RawKey != "" {
		must(t, put(t, b, img.RawKey, photoBytes))
	}
	if img.State == imagery.Created || img.State == imagery.Failed {
		if img, err = accept(t.Context(), s, id); err != nil {
			t.Fatal(err)
		}
		hints = append(hints, `{"imageId":"`+id+`","desiredState":"processed"}`)
	}
	for _, text := range hints {
		h, err := imagery.ParseHint([]byte(text))
		must(t, err)
		if h.ImageID != id {
			t.Errorf("the hint %s refers to image %s", text, h.ImageID)
		}
		_, err = s.Process(t.Context(), job(h))
		must(t, err)
	}
	if img, err = s.Get(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	return img.State
}

// The newest file has exactly the attributes and members that this release writes. A change of these needs a new file,
// so that the next release is tested with both.
func TestNewestFileIsOfThisRelease(t *testing.T) {
	at, stack, b := started(t)
	now := released{Release: "what the newest release writes"}
	for n, state := range []imagery.State{imagery.Created, imagery.Uploaded, imagery.Processed, imagery.Failed} {
		id := fmt.Sprintf("5ca1ab1e-0000-4000-8000-00000000000%d", n)
		s := serviceOn(b, state == imagery.Failed)
		_, _, err := s.Create(t.Context(), id)
		must(t, err)
		var one releasedImage
		if state != imagery.Created {
			_, err := accept(t.Context(), s, id)
			must(t, err)
			sent, err := b.Queue().Receive(t.Context(), 1, 5*time.Second)
			must(t, err)
			if len(sent) != 1 {
				t.Fatalf("%d hints for %s", len(sent), id)
			}
			one.Hints = []string{string(sent[0].Body)}
			if state != imagery.Uploaded {
				h, err := imagery.ParseHint(sent[0].Body)
				must(t, err)
				_, err = s.Process(t.Context(), job(h))
				must(t, err)
			}
			must(t, b.Queue().Delete(t.Context(), sent...))
		}
		one.Item, err = attributevalue.MarshalMapJSON(stored(t, at, stack.Table, id))
		must(t, err)
		now.Images = append(now.Images, one)
	}
	if *update {
		out, err := json.MarshalIndent(now, "", "  ")
		must(t, err)
		must(t, os.WriteFile("testdata/releases/next.json", append(out, '\n'), 0o644))
	}
	all := releases(t)
	newest := slices.Max(slices.Collect(maps.Keys(all)))
	if got, want := shape(t, now), shape(t, all[newest]); !slices.Equal(got, want) {
		t.Errorf("items or hints differ from %s: run with -update, give next.json a name that sorts after it, "+
			"and mention it in the release notes.\nnow:\n%s\nthere:\n%s",
			newest, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// shape returns the names and types of all values, one per line.
func shape(t *testing.T, r released) []string {
	t.Helper()
	seen := map[string]bool{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, x := range v {
				walk(path+" "+name, x)
			}
		case []any:
			for _, x := range v {
				walk(path+" []", x)
			}
		default:
			seen[path] = true
		}
	}
	for _, img := range r.Images {
		var item map[string]any
		must(t, json.Unmarshal(img.Item, &item))
		state := item["state"].(map[string]any)["S"].(string)
		walk(state, item)
		for _, h := range img.Hints {
			var v any
			must(t, json.Unmarshal([]byte(h), &v))
			walk(state+" hint", v)
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

var photoBytes = []byte("a photo")

// filter returns every photo unchanged, or rejects it as broken.
type filter struct{ broken bool }

func (f filter) Inspect([]byte) (imagery.Cost, error) { return imagery.Cost{Memory: 1}, nil }

func (f filter) Apply(_ context.Context, raw []byte) (imagery.Result, error) {
	if f.broken {
		return imagery.Result{}, &imagery.BadPhoto{Reason: "It is broken.", Err: errors.New("broken")}
	}
	return imagery.Result{Body: bytes.NewReader(raw), ContentType: "image/png", Ext: "png",
		Warning: "A part of it is missing."}, nil
}

func serviceOn(b *awsstore.Store, broken bool) *imagery.Service {
	return &imagery.Service{Catalog: b.Catalog(), Blobs: b.Blobs(), Queue: b.Queue(), DeadLetters: b.DeadLetters(),
		Filter: filter{broken}, Now: time.Now, Release: strings.Repeat("5a", 32), Instance: "i-0123456789abcdef0",
		UploadLife: 24 * time.Hour, ResendAfter: time.Minute}
}

func accept(ctx context.Context, s *imagery.Service, id string) (imagery.Image, error) {
	img, hintErr, err := s.Accept(ctx, imagery.Upload{ID: id, Hash: strings.Repeat("0b", 32), ContentType: "image/png",
		Body: bytes.NewReader(photoBytes), Size: int64(len(photoBytes))})
	return img, errors.Join(hintErr, err)
}

func job(h imagery.Hint) imagery.Job {
	return imagery.Job{Hint: h, Receives: 1, Owned: func() bool { return true },
		Admit: func(context.Context, imagery.Cost) (func(), error) { return func() {}, nil }}
}

func stored(t *testing.T, at *fakeaws.Cloud, table, id string) map[string]types.AttributeValue {
	t.Helper()
	consistent := true
	out, err := at.DynamoDB().GetItem(t.Context(),
		&dynamodb.GetItemInput{TableName: &table, Key: key(id), ConsistentRead: &consistent})
	must(t, err)
	return out.Item
}
