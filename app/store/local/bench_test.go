package local_test

import (
	"testing"
	"time"

	"imagery/app/imagery"
)

var hint = []byte(`{"imageId":"6a0e2a4e-5b3c-4b9a-8a77-0f6d3c1b2a90","desiredState":"processed",` +
	`"rawS3Key":"upload/6a0e2a4e-5b3c-4b9a-8a77-0f6d3c1b2a90/0f0f"}`)

func BenchmarkSend(b *testing.B) {
	q := open(b, newDir(b)).Queue()
	for b.Loop() {
		must(b, q.Send(b.Context(), hint, ""))
	}
}

// One message at a time, as a worker with one core does it.
func BenchmarkReceiveDelete(b *testing.B) {
	q := open(b, newDir(b)).Queue()
	for range b.N {
		must(b, q.Send(b.Context(), hint, ""))
	}
	b.ResetTimer()
	for range b.N {
		list, err := q.Receive(b.Context(), 1, time.Second)
		must(b, err)
		must(b, q.Delete(b.Context(), list...))
	}
}

func BenchmarkMove(b *testing.B) {
	c := open(b, newDir(b)).Catalog()
	now := time.Now().Truncate(time.Millisecond)
	img := imagery.Image{ID: imagery.NewID(), State: imagery.Uploaded, Created: now, Updated: now, RawKey: "upload/x/y"}
	must(b, c.Create(b.Context(), img, now))
	for b.Loop() {
		to := img
		to.Version++
		must(b, c.Move(b.Context(), img, to))
		img = to
	}
}

func BenchmarkGet(b *testing.B) {
	c := open(b, newDir(b)).Catalog()
	img := imagery.Image{ID: imagery.NewID(), State: imagery.Created, Created: time.Now(), Updated: time.Now()}
	must(b, c.Create(b.Context(), img, img.Created))
	for b.Loop() {
		_, err := c.Get(b.Context(), img.ID)
		must(b, err)
	}
}
