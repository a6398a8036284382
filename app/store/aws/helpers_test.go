package aws_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"imagery/app/imagery"
	awsstore "imagery/app/store/aws"
	"imagery/app/testing/fakeaws"
)

var someLimits = imagery.Limits{Visibility: 30 * time.Second, MaxReceives: 3}

// started returns a Store on emulators of its own.
func started(t *testing.T) (*fakeaws.Cloud, fakeaws.Stack, *awsstore.Store) {
	t.Helper()
	at, stack := fakeaws.Start(t, someLimits)
	return at, stack, open(t, at, stack)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newImage returns an image as the service creates it.
func newImage() imagery.Image {
	now := time.Now().Truncate(time.Millisecond)
	return imagery.Image{ID: imagery.NewID(), State: imagery.Created, Created: now, Updated: now,
		Expires: now.Add(time.Hour).Truncate(time.Second)}
}

// uploaded returns the image after its upload.
func uploaded(img imagery.Image) imagery.Image {
	img.Version, img.State, img.Expires = img.Version+1, imagery.Uploaded, time.Time{}
	img.Updated = img.Updated.Add(time.Millisecond)
	img.Hinted, img.RawKey = img.Updated, imagery.RawKey(img.ID, strings.Repeat("0a", 32))
	return img
}

func put(t *testing.T, b *awsstore.Store, key string, body []byte) error {
	t.Helper()
	return b.Blobs().Put(t.Context(), key, "image/png", bytes.NewReader(body), int64(len(body)))
}

// first injects the fault into the first call of each of the operations.
func first(kind fakeaws.Kind, operations ...string) func(fakeaws.Call) fakeaws.Fault {
	return func(c fakeaws.Call) fakeaws.Fault {
		for _, o := range operations {
			if c.Operation == o && c.Ordinal == 1 {
				return fakeaws.Fault{Kind: kind, Delay: 200 * time.Millisecond}
			}
		}
		return fakeaws.Fault{}
	}
}

// always injects the fault into every call.
func always(kind fakeaws.Kind) func(fakeaws.Call) fakeaws.Fault {
	return func(fakeaws.Call) fakeaws.Fault { return fakeaws.Fault{Kind: kind} }
}
