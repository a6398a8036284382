package conformance

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"imagery/app/imagery"
)

// onBlobs returns a case with two handles on an object store.
func onBlobs(name string, run func(t *testing.T, writer, reader imagery.Blobs)) testCase {
	return testCase{"Blobs." + name, func(t *testing.T, b Target) {
		if b.Blobs == nil {
			b.skip(t, "this backend has no blobs")
		}
		h := b.Blobs(t, 2)
		run(t, h[0], h[1])
	}}
}

func blobsCases() []testCase {
	return []testCase{
		onBlobs("Put, Get: every byte survives", bytesSurvive),
		onBlobs("Put: over an object replaces it", putReplaces),
		onBlobs("Put: readers see all of the old bytes or all of the new", putIsAtomic),
		onBlobs("Put: reads its body from the start", putReadsFromStart),
		onBlobs("Get: a missing object", getMissing),
		onBlobs("Get: the limit", getLimit),
		onBlobs("Link: leads to the object, or there is none", linkLeads),
		onBlobs("Ping: the store answers", func(t *testing.T, w, _ imagery.Blobs) { must(t, w.Ping(t.Context())) }),
	}
}

// bytesSurvive: photos are not text, and an empty object is still an object.
func bytesSurvive(t *testing.T, writer, reader imagery.Blobs) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	large := make([]byte, 5<<20)
	rand.Read(large)
	lines := []byte("\r\n\n\r\x00\x1a")
	for name, body := range map[string][]byte{"every value": all, "nothing": {}, "5 MB": large, "new lines": lines} {
		raw := newKey()
		must(t, put(t.Context(), writer, raw, body))
		wantObject(t, reader, raw, body)
		result := "processed/" + strings.TrimPrefix(raw, "upload/") + ".png"
		must(t, put(t.Context(), writer, result, body))
		wantObject(t, reader, result, body)
		if t.Failed() {
			t.Fatalf("with %s", name)
		}
	}
}

// putReplaces alternates between the handles, so that neither can answer from a cache of its own writes.
func putReplaces(t *testing.T, writer, reader imagery.Blobs) {
	key := newKey()
	for _, body := range []string{"first", "a longer second", "3rd", ""} {
		must(t, put(t.Context(), writer, key, []byte(body)))
		wantObject(t, reader, key, []byte(body))
		writer, reader = reader, writer
	}
}

// putIsAtomic writes objects of one repeated byte each, and of different sizes: any mixture shows.
func putIsAtomic(t *testing.T, writer, reader imagery.Blobs) {
	const size = 300 << 10
	key := newKey()
	must(t, put(t.Context(), writer, key, bytes.Repeat([]byte{'0'}, size)))
	done := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < 40 && err == nil; i++ {
			err = put(t.Context(), writer, key, bytes.Repeat([]byte{byte('1' + i)}, size+i))
		}
		done <- err
	}()
	for reads := 0; ; reads++ {
		select {
		case err := <-done:
			must(t, err)
			t.Logf("%d reads during 40 puts", reads)
			return
		default:
		}
		got, err := reader.Get(t.Context(), key, 1<<20)
		must(t, err)
		if n := bytes.Count(got, got[:1]); n != len(got) || n != size && n != size+int(got[0]-'1') {
			t.Fatalf("read %d bytes of which %d are %q: a mixture", len(got), n, got[0])
		}
	}
}

// putReadsFromStart: the caller has read the body before, to hash it or at an earlier attempt.
func putReadsFromStart(t *testing.T, writer, reader imagery.Blobs) {
	key, body := newKey(), strings.NewReader("the whole body")
	_, err := io.CopyN(io.Discard, body, 4)
	must(t, err)
	for range 2 { // the second time it is at its end, as for a retry
		must(t, writer.Put(t.Context(), key, "image/jpeg", body, body.Size()))
		wantObject(t, reader, key, []byte("the whole body"))
	}
}

func getMissing(t *testing.T, _, reader imagery.Blobs) {
	// S3 answers "access denied" for a missing object without permission to list the bucket.
	_, err := reader.Get(t.Context(), newKey(), 100)
	if !errors.Is(err, imagery.ErrNotFound) && !errors.Is(err, imagery.ErrDenied) {
		t.Errorf("get of nothing: %v, want ErrNotFound or ErrDenied", err)
	}
}

// getLimit: an object over the limit must not be reported as missing, which would fail the image.
func getLimit(t *testing.T, writer, reader imagery.Blobs) {
	key := newKey()
	must(t, put(t.Context(), writer, key, []byte("ten bytes.")))
	if got, err := reader.Get(t.Context(), key, 10); err != nil || string(got) != "ten bytes." {
		t.Errorf("at the limit: %q, %v", got, err)
	}
	got, err := reader.Get(t.Context(), key, 9)
	if err == nil || errors.Is(err, imagery.ErrNotFound) || errors.Is(err, imagery.ErrDenied) {
		t.Errorf("over the limit: %q, %v, want another error", got, err)
	}
}

// linkLeads follows the link without credentials, like a browser, or reads the object of the link.
func linkLeads(t *testing.T, writer, _ imagery.Blobs) {
	key := newKey()
	must(t, put(t.Context(), writer, key, []byte("linked")))
	for _, filename := range []string{"", "sepia.jpg"} {
		link, err := writer.Link(t.Context(), key, filename)
		must(t, err)
		if link.URL == "" {
			for _, from := range []int64{0, 3} {
				_, err := link.Body.Seek(from, io.SeekStart)
				must(t, err)
				if body, err := io.ReadAll(link.Body); err != nil || string(body) != "linked"[from:] {
					t.Errorf("the open object has %q from %d, %v", body, from, err)
				}
			}
			must(t, link.Body.Close())
			if _, err := writer.Link(t.Context(), newKey(), ""); !errors.Is(err, imagery.ErrNotFound) {
				t.Errorf("an absent object: %v", err)
			}
			continue
		}
		res, err := http.Get(link.URL)
		must(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK || string(body) != "linked" {
			t.Errorf("the link answers %s %q, %v", res.Status, body, err)
		}
		d := res.Header.Get("Content-Disposition")
		if strings.Contains(d, "attachment") != (filename != "") || !strings.Contains(d, filename) {
			t.Errorf("for the name %q the link answers with Content-Disposition %q", filename, d)
		}
	}
}

func newKey() string { return imagery.RawKey(imagery.NewID(), strings.Repeat("0f", 32)) }

func put(ctx context.Context, b imagery.Blobs, key string, body []byte) error {
	return b.Put(ctx, key, "image/jpeg", bytes.NewReader(body), int64(len(body)))
}

func wantObject(t *testing.T, b imagery.Blobs, key string, want []byte) {
	t.Helper()
	got, err := b.Get(t.Context(), key, 10<<20)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("object %s has %d bytes %.40q, want %d bytes %.40q", key, len(got), got, len(want), want)
	}
}
