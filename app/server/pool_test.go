package server

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"imagery/app/imagery"
)

// TestSlowClients: 64 clients that send a little and then next to nothing neither exceed the memory budget nor block
// other uploads. It does not run in parallel, since it measures memory.
func TestSlowClients(t *testing.T) {
	const budget, each = 4 << 20, 300 << 10
	w := newFakes()
	b := shortTimeouts()
	s := start(t, w, b, func(o *Options) { o.Budget = budget })
	before := heap()
	body, _ := form(file("a.jpg", sized(jpegPhoto(1), 10<<20)))
	var rejected atomic.Int32
	exhausted := false
	checkExhausted := func() { // often, since all blocks may be reserved for 100 ms only
		exhausted = exhausted || s.srv.inUse() == budget/blockSize
	}
	for range 64 {
		c := s.dial()
		c.post(w.put(imagery.Image{}).ID, len(body), body[:each])
		go c.drip(false)
		go func() {
			if resp, err := c.in.ReadString('\n'); err == nil && resp == "HTTP/1.1 503 Service Unavailable\r\n" {
				rejected.Add(1)
			}
		}()
		checkExhausted()
	}
	eventually(t, "all blocks are reserved, and requests are rejected", func() bool {
		checkExhausted()
		return exhausted && rejected.Load() > 0
	})
	const perConnection = 64 << 10 // buffers and goroutines; both ends are in this process
	if grown := heap() - before; grown > budget+64*perConnection {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
	for i := range 10 {
		photo := sized(jpegPhoto(i), 1<<20)
		s.uploadWithRetry(w.put(imagery.Image{}).ID, photo)
	}
	if rejected.Load() == 64 {
		t.Log("every slow client was evicted")
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // twice, since the contents of a sync.Pool survive the first
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// uploadWithRetry retries while the status is 503, for up to 20 s.
func (s *testServer) uploadWithRetry(id string, photo []byte) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		got := s.upload(id, photo)
		if got.StatusCode == 202 {
			return
		}
		got.expectProblem(s.t, 503, "Too many uploads")
		if time.Now().After(deadline) {
			s.t.Error("still 503 after 20 s")
			return
		}
		time.Sleep(100 * time.Millisecond) // instead of the two seconds of Retry-After
	}
}

// TestNoDeadlock: uploads that together need more memory than the pool has do not wait for each other for ever, even if
// none of them is slow, and all of them complete.
func TestNoDeadlock(t *testing.T) {
	t.Parallel()
	w := newFakes()
	b := shortTimeouts()
	b.block, b.stall = time.Second, time.Hour
	s := start(t, w, b, func(o *Options) { o.Budget = 2 << 20 })
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() { s.uploadWithRetry(w.put(imagery.Image{}).ID, sized(jpegPhoto(i), 1<<20)) })
	}
	all.Wait()
	eventually(t, "all blocks are released", func() bool { return s.srv.inUse() == 0 })
	if objects, messages := w.written(); objects != 8 || messages != 8 {
		t.Errorf("%d objects, %d messages", objects, messages)
	}
}

// TestPoolExhausted: an exhausted pool has priority over faults of the photo, but does not affect results and requests
// that need no block.
func TestPoolExhausted(t *testing.T) {
	t.Parallel()
	w := newFakes()
	b := shortTimeouts()
	b.stall = time.Hour
	s := start(t, w, b, func(o *Options) { o.Budget = blockSize })
	body, _ := form(file("a.jpg", sized(jpegPhoto(1), 2*unpooledSize)))
	first := s.dial()
	first.post(w.put(imagery.Image{}).ID, len(body), body[:len(body)-50])
	eventually(t, "the block is reserved", func() bool { return s.srv.inUse() == 1 })
	id := w.put(imagery.Image{}).ID
	s.upload(id, sized(jpegPhoto(1), 2*unpooledSize)).expectProblem(t, 503, "Too many uploads")
	s.upload(id, []byte("text")).expectProblem(t, 415, "")
	if got := s.upload(w.put(imagery.Image{}).ID, jpegPhoto(1)); got.StatusCode != 202 {
		t.Errorf("a photo of a few bytes: %d %s", got.StatusCode, got.body)
	}
	done := w.put(imagery.Image{State: imagery.Processed, ProcessedKey: "processed/x/y.jpg"}).ID
	w.putObject("processed/x/y.jpg", []byte("result"))
	if got := s.get("/image/" + done + "/processed"); got.StatusCode != 200 || string(got.body) != "result" {
		t.Errorf("a result: %d %s", got.StatusCode, got.body)
	}
	first.send(body[len(body)-50:])
	if got := first.reply(); got.StatusCode != 202 {
		t.Errorf("the upload that has the block: %d %s", got.StatusCode, got.body)
	}
}

// TestTinyUploadsNeedNoBlock: any number of requests with a few bytes does not block other uploads.
func TestTinyUploadsNeedNoBlock(t *testing.T) {
	t.Parallel()
	w := newFakes()
	s := start(t, w, shortTimeouts(), func(o *Options) { o.Budget = blockSize })
	body, _ := form(file("a.jpg", jpegPhoto(1)))
	for range 50 {
		c := s.dial()
		c.post(w.put(imagery.Image{}).ID, len(body), body[:len(body)-50])
	}
	if got := s.upload(w.put(imagery.Image{}).ID, sized(jpegPhoto(1), blockSize)); got.StatusCode != 202 {
		t.Errorf("an upload beside tiny ones: %d %s", got.StatusCode, got.body)
	}
}

// TestPoolExhaustedLater: an exhausted pool also has priority over faults that show in the bytes received before.
func TestPoolExhaustedLater(t *testing.T) {
	t.Parallel()
	w := newFakes()
	s := start(t, w, shortTimeouts(), func(o *Options) {
		o.Budget = 2 * blockSize
		o.Inspect = func(r io.Reader) error {
			if n, _ := io.Copy(io.Discard, r); n > blockSize {
				return &imagery.BadPhoto{Kind: imagery.Unreadable, Reason: "It goes bad later."}
			}
			return nil
		}
	})
	s.upload(w.put(imagery.Image{}).ID, sized(jpegPhoto(1), 3*blockSize)).expectProblem(t, 503, "Too many uploads")
	s.upload(w.put(imagery.Image{}).ID, sized(jpegPhoto(1), 2*blockSize-1)).expectProblem(t, 422, "bad later")
	w.expectNothingStored(t)
}

// TestReadAfterRelease: the SDK may still read the body of an upload when the request is over. It gets an error then,
// and never the bytes of another request.
func TestReadAfterRelease(t *testing.T) {
	t.Parallel()
	p := newPool(blockSize, nil, time.Millisecond, time.Hour)
	r := p.newReservation(nil)
	if _, err := r.fill(t.Context(), bytes.NewReader([]byte("mine"))); err != nil {
		t.Fatal(err)
	}
	body := r.reader()
	if got, err := io.ReadAll(body); string(got) != "mine" || err != nil {
		t.Fatalf("%q %v", got, err)
	}
	r.release()
	if _, err := body.ReadAt(make([]byte, 4), 0); !errors.Is(err, errReleased) {
		t.Errorf("read after release: %v", err)
	}
}
