package local_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	mrand "math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagery/app/imagery"
	"imagery/app/store/local"
	"imagery/app/testing/short"
)

// runProducer uploads random photos and prints the id of each one that was accepted, until its input ends.
func runProducer(dir string) error {
	s, err := openChild(dir)
	if err != nil {
		return err
	}
	ctx := untilInputEnds()
	for ctx.Err() == nil {
		body := make([]byte, 1+mrand.IntN(64<<10))
		rand.Read(body)
		id, err := accept(context.Background(), s, body)
		if err != nil {
			return err
		}
		fmt.Println("accepted", id)
	}
	return s.Close()
}

// accept stores an upload in the order of the service: object, item, hint.
func accept(ctx context.Context, s *local.Store, body []byte) (id string, err error) {
	now := time.Now().Truncate(time.Millisecond)
	img := imagery.Image{ID: imagery.NewID(), State: imagery.Created, Created: now, Updated: now,
		Expires: now.Add(time.Hour)}
	to := img
	to.State, to.Version, to.Expires, to.RawKey = imagery.Uploaded, 1, time.Time{}, imagery.RawKey(img.ID, hash(body))
	hint, err := json.Marshal(imagery.Hint{ImageID: img.ID, DesiredState: imagery.Processed, RawKey: to.RawKey})
	if err != nil {
		return "", err
	}
	if err := s.Catalog().Create(ctx, img, now); err != nil {
		return "", err
	}
	if err := s.Blobs().Put(ctx, to.RawKey, "", bytes.NewReader(body), int64(len(body))); err != nil {
		return "", err
	}
	if err := s.Catalog().Move(ctx, img, to); err != nil {
		return "", err
	}
	return img.ID, s.Queue().Send(ctx, hint, "")
}

// runConsumer processes what producers uploaded, until its input ends.
func runConsumer(dir string) error {
	s, err := openChild(dir)
	if err != nil {
		return err
	}
	ctx := untilInputEnds()
	for ctx.Err() == nil {
		list, err := s.Queue().Receive(ctx, 10, time.Minute)
		if err != nil {
			return err
		}
		for _, m := range list {
			if err := process(context.Background(), s, m); err != nil {
				return err
			}
		}
	}
	return s.Close()
}

func process(ctx context.Context, s *local.Store, m imagery.Message) error {
	hint, err := imagery.ParseHint(m.Body)
	if err != nil {
		return err
	}
	img, err := s.Catalog().Get(ctx, hint.ImageID)
	if err != nil {
		return err
	}
	if img.State == imagery.Uploaded {
		raw, err := s.Blobs().Get(ctx, img.RawKey, 1<<20)
		if err != nil {
			return err
		}
		if hash(raw) != path.Base(img.RawKey) {
			return fmt.Errorf("object %s has other bytes", img.RawKey)
		}
		to := img
		to.State, to.Version = imagery.Processed, img.Version+1
		to.ProcessedKey = imagery.ProcessedKey(img.ID, hash(raw), "png")
		if err := s.Blobs().Put(ctx, to.ProcessedKey, "", bytes.NewReader(result(raw)), int64(len(raw))); err != nil {
			return err
		}
		if err := s.Catalog().Move(ctx, img, to); err != nil && !errors.Is(err, imagery.ErrConflict) {
			return err
		}
	}
	return s.Queue().Delete(ctx, m)
}

// TestNothingIsLostToKills kills processes that upload and process, one at a time and all at once, and then checks the
// storage itself.
func TestNothingIsLostToKills(t *testing.T) {
	short.Skip(t, "processes that are killed while they write")
	const kills = 100
	dir := newDir(t)
	herd := &herd{t: t, dir: dir, accepted: map[string]bool{}}
	for _, mode := range []string{produce, produce, consume, consume} {
		herd.start(mode)
	}
	n, rounds := 0, 0
	for ; n < kills; rounds++ {
		herd.awaitUploads(2 * rounds) // kill processes that are working
		time.Sleep(mrand.N(50 * time.Millisecond))
		victims := herd.members
		if rounds%15 != 0 {
			victims = []*member{victims[mrand.IntN(len(victims))]}
		}
		n += len(victims)
		herd.kill(victims)
	}
	herd.stop(produce)
	s := open(t, dir)
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		visible, inFlight, dead, err := s.Depth(t.Context())
		must(t, err)
		if visible+inFlight+dead == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("left in the queue: %d visible, %d in flight, %d dead", visible, inFlight, dead)
		}
	}
	herd.stop(consume)
	t.Logf("%d kills in %d rounds, %d uploads accepted", n, rounds, len(herd.accepted))
	checkStorage(t, s, dir, herd.accepted)
}

func checkStorage(t *testing.T, s *local.Store, dir string, accepted map[string]bool) {
	var integrity string
	must(t, database(t, dir).QueryRow("PRAGMA integrity_check").Scan(&integrity))
	if integrity != "ok" {
		t.Errorf("integrity check: %s", integrity)
	}
	for id := range accepted {
		img, err := s.Catalog().Get(t.Context(), id)
		must(t, err)
		if img.State != imagery.Processed || img.Version != 2 {
			t.Errorf("accepted image %s is %s, version %d", id, img.State, img.Version)
		}
		raw, err := s.Blobs().Get(t.Context(), img.RawKey, 1<<20)
		must(t, err)
		if got, err := s.Blobs().Get(t.Context(), img.ProcessedKey, 1<<20); err != nil || !bytes.Equal(got, result(raw)) {
			t.Errorf("the result of image %s is wrong: %v", id, err)
		}
	}
	objects := filepath.Join(dir, "objects")
	must(t, filepath.WalkDir(objects, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(file)
		if strings.HasPrefix(file, filepath.Join(objects, "processed")) {
			body = result(body)
		}
		if name, _, _ := strings.Cut(d.Name(), "."); hash(body) != name {
			t.Errorf("%s is incomplete", file)
		}
		return err
	}))
	left := len(files(t, filepath.Join(dir, "tmp")))
	r, err := s.Sweep(t.Context(), time.Now(), time.Hour)
	must(t, err)
	if now := files(t, filepath.Join(dir, "tmp")); len(now) > 0 || len(sockets(t, dir)) > 1 {
		t.Errorf("left after the sweep: %v, %v", now, sockets(t, dir))
	}
	t.Logf("%d half-written files were left in tmp, swept: %+v", left, r)
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// result returns the result of a photo; it is its own inverse.
func result(raw []byte) []byte {
	out := bytes.Clone(raw)
	for i := range out {
		out[i] ^= 0xff
	}
	return out
}

func files(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	return list
}
