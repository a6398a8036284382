package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"imagery/app/imagery"
)

// untouched checks that refusals stored and queued nothing.
func (w *world) untouched(t *testing.T) {
	t.Helper()
	if objects, messages := w.written(); objects+messages != 0 {
		t.Errorf("%d objects stored, %d messages queued", objects, messages)
	}
}

// drip sends zeros, a few at a time, until the other side has enough.
func (c *raw) drip(chunked bool) {
	b := make([]byte, 5)
	if chunked {
		b = []byte("2\r\n\x00\x00\r\n")
	}
	for {
		if _, err := c.Write(b); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestNeverEnding: a part that never ends is answered 408 when its time is over, which begins with the end of
// the headers, and not at all before.
func TestNeverEnding(t *testing.T) {
	t.Parallel()
	b := quick()
	b.upload, b.look = time.Second, 50*time.Millisecond
	body, _ := form(file("a.jpg", sized(jpegPhoto(1), 300<<10)))
	for name, test := range map[string]struct {
		chunked bool
		sent    []byte
		drips   bool
		status  int
	}{
		"silent before the form":        {false, nil, false, 408},
		"silent in the photo":           {false, body[:1000], false, 408},
		"dripping":                      {false, body[:1000], true, 408},
		"dripping, chunked":             {true, body[:1000], true, 408},
		"dripping behind a chunk":       {true, body[:290<<10], true, 408},
		"silent behind the photo":       {false, body[:len(body)-4], false, 408},
		"silent behind the form":        {false, body, false, 408},
		"dripping, and not a photo":     {true, []byte("--" + boundary + "\r\nContent-Disposition: form-data; filename=a\r\n\r\nhello"), true, 415},
		"declared too large, then mute": {false, nil, false, 413},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			s := start(t, w, b)
			id := w.put(imagery.Image{}).ID
			c := s.dial()
			length := 1 << 20
			if test.status == 413 {
				length = 30 << 20
			}
			if test.chunked {
				length = -1
			}
			began := time.Now()
			c.post(id, length, test.sent)
			if test.drips {
				go c.drip(test.chunked)
			}
			c.reply().refused(t, test.status, "")
			if took := time.Since(began); (test.status == 408) != (took >= b.upload) && test.status != 415 || took > b.upload+2*time.Second {
				t.Errorf("answered after %s", took)
			}
			w.untouched(t)
		})
	}
	t.Run("slow headers count for nothing", func(t *testing.T) {
		t.Parallel()
		w := newWorld()
		s := start(t, w, b)
		c := s.dial()
		c.send(fmt.Appendf(nil, "POST /image/%s/upload HTTP/1.1\r\nHost: x\r\n", w.put(imagery.Image{}).ID))
		time.Sleep(b.upload + 100*time.Millisecond) // the time that must not be counted
		c.send(fmt.Appendf(nil, "Content-Type: %s\r\nContent-Length: %d\r\n\r\n%s", formType, len(body), body))
		if got := c.reply(); got.StatusCode != 202 {
			t.Errorf("%d %s", got.StatusCode, got.body)
		}
	})
	if contractBounds.upload != time.Minute {
		t.Error("the contract says 60 s")
	}
}

// TestAnswerIsSeen: a client that sends 30 MB before it reads still gets its answer, also when it is slower
// than what the server reads before it answers.
func TestAnswerIsSeen(t *testing.T) {
	t.Parallel()
	text := bytes.Repeat([]byte("no photo "), 30<<20/9)
	for _, pause := range []time.Duration{0, 300 * time.Millisecond} {
		for name, test := range map[string]struct {
			head   string
			length int
			status int
		}{
			"no image":      {"POST /image/ABSENT/upload", 30 << 20, 404},
			"no form":       {"POST /image/FRESH/upload HTTP/1.1\r\nX-Content-Type", 30 << 20, 400},
			"too long":      {"POST /image/FRESH/upload", 30 << 20, 413},
			"not a photo":   {"POST /image/FRESH/upload", 20 << 20, 415},
			"unknown route": {"POST /nothing", 30 << 20, 404},
			"large create":  {"POST /image", 30 << 20, 400},
		} {
			t.Run(fmt.Sprint(name, pause), func(t *testing.T) {
				t.Parallel()
				w := newWorld()
				s := start(t, w, quick())
				body := append([]byte("--"+boundary+"\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\n"), text...)[:test.length]
				c := s.dial()
				head := strings.NewReplacer("FRESH", w.put(imagery.Image{}).ID, "ABSENT", imagery.NewID()).Replace(test.head)
				if !strings.Contains(head, "HTTP") {
					head += " HTTP/1.1\r\nContent-Type"
				}
				c.send(fmt.Appendf(nil, "%s: %s\r\nHost: x\r\nContent-Length: %d\r\n\r\n", head, formType, len(body)))
				c.send(body[:1<<20])
				time.Sleep(pause)
				c.send(body[1<<20:])
				c.reply().refused(t, test.status, "")
				w.untouched(t)
			})
		}
	}
}

// TestRestIsBounded: the rest of a refused body is dropped for a bounded time, then the connection is closed.
func TestRestIsBounded(t *testing.T) {
	t.Parallel()
	b := quick()
	b.drop = 300 * time.Millisecond
	s := start(t, newWorld(), b)
	c := s.dial()
	began := time.Now()
	c.post(imagery.NewID(), 30<<20, nil)
	go c.drip(false)
	c.reply().refused(t, 404, "")
	if _, err := c.in.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection stays: %v", err)
	}
	if took := time.Since(began); took < b.drop || took > 5*time.Second {
		t.Errorf("closed after %s", took)
	}
	if contractBounds.drop != 5*time.Second {
		t.Error("the contract says 5 s")
	}
}

// TestKeepAlive: a refused body that has ended leaves the connection usable.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := start(t, w, unhurried())
	body, _ := form(file("a.jpg", bytes.Repeat([]byte("text"), 1<<20)))
	c := s.dial()
	id := w.put(imagery.Image{}).ID
	for range 3 {
		c.post(id, len(body), body)
		c.reply().refused(t, 415, "")
	}
	body, _ = form(file("a.jpg", jpegPhoto(1)))
	c.post(id, len(body), body)
	if got := c.reply(); got.StatusCode != 202 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

// TestSlowClients: 64 clients that send a little and then next to nothing neither push the process over its
// budget nor keep others away. It runs alone, for it measures memory.
func TestSlowClients(t *testing.T) {
	const budget, each = 4 << 20, 300 << 10
	w := newWorld()
	b := quick()
	s := start(t, w, b, func(o *Options) { o.Budget = budget })
	before := heap()
	body, _ := form(file("a.jpg", sized(jpegPhoto(1), 10<<20)))
	var refused atomic.Int32
	for range 64 {
		c := s.dial()
		c.post(w.put(imagery.Image{}).ID, len(body), body[:each])
		go c.drip(false)
		go func() {
			if resp, err := c.in.ReadString('\n'); err == nil && resp == "HTTP/1.1 503 Service Unavailable\r\n" {
				refused.Add(1)
			}
		}()
	}
	eventually(t, "all the room is taken, and it is short", func() bool {
		return s.srv.inUse() == budget/chunkSize && refused.Load() > 0
	})
	const perConnection = 64 << 10 // buffers, goroutine, both ends of it being in this process
	if grown := heap() - before; grown > budget+64*perConnection {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
	for i := range 10 {
		photo := sized(jpegPhoto(i), 1<<20)
		s.uploadPolitely(w.put(imagery.Image{}).ID, photo)
	}
	if refused.Load() == 64 {
		t.Log("every slow client had to go")
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // twice, for what pools hold survives the first
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// uploadPolitely tries again, for a bounded time, as long as the answer is 503.
func (s *running) uploadPolitely(id string, photo []byte) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		got := s.upload(id, photo)
		if got.StatusCode == 202 {
			return
		}
		got.refused(s.t, 503, "Too many uploads")
		if time.Now().After(deadline) {
			s.t.Error("never served")
			return
		}
		time.Sleep(100 * time.Millisecond) // instead of the two seconds that the answer asks for
	}
}

// TestRoomIsShared: uploads that together need more room than there is do not wait for each other for ever,
// even if none of them is slow, and all of them get their turn.
func TestRoomIsShared(t *testing.T) {
	t.Parallel()
	w := newWorld()
	b := quick()
	b.step, b.stall = time.Second, time.Hour
	s := start(t, w, b, func(o *Options) { o.Budget = 2 << 20 })
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() { s.uploadPolitely(w.put(imagery.Image{}).ID, sized(jpegPhoto(i), 1<<20)) })
	}
	all.Wait()
	eventually(t, "all room is given back", func() bool { return s.srv.inUse() == 0 })
	if objects, messages := w.written(); objects != 8 || messages != 8 {
		t.Errorf("%d objects, %d messages", objects, messages)
	}
}

// TestNoRoom: want of room comes before what is wrong with the photo, but keeps no result and no request that needs no
// room.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	w := newWorld()
	b := quick()
	b.stall = time.Hour
	s := start(t, w, b, func(o *Options) { o.Budget = chunkSize })
	body, _ := form(file("a.jpg", sized(jpegPhoto(1), 2*headSize)))
	holder := s.dial()
	holder.post(w.put(imagery.Image{}).ID, len(body), body[:len(body)-50])
	eventually(t, "the room is taken", func() bool { return s.srv.inUse() == 1 })
	id := w.put(imagery.Image{}).ID
	s.upload(id, sized(jpegPhoto(1), 2*headSize)).refused(t, 503, "Too many uploads")
	s.upload(id, []byte("text")).refused(t, 415, "")
	if got := s.upload(w.put(imagery.Image{}).ID, jpegPhoto(1)); got.StatusCode != 202 {
		t.Errorf("a photo of a few bytes: %d %s", got.StatusCode, got.body)
	}
	done := w.put(imagery.Image{State: imagery.Processed, ProcessedKey: "processed/x/y.jpg"}).ID
	w.mu.Lock()
	w.objects["processed/x/y.jpg"] = []byte("result")
	w.mu.Unlock()
	if got := s.get("/image/" + done + "/processed"); got.StatusCode != 200 || string(got.body) != "result" {
		t.Errorf("a result: %d %s", got.StatusCode, got.body)
	}
	holder.send(body[len(body)-50:])
	if got := holder.reply(); got.StatusCode != 202 {
		t.Errorf("the holder of the room: %d %s", got.StatusCode, got.body)
	}
}

// TestTinyUploadsTakeNoRoom: requests of a few bytes, at any rate, refuse no honest upload.
func TestTinyUploadsTakeNoRoom(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := start(t, w, quick(), func(o *Options) { o.Budget = chunkSize })
	body, _ := form(file("a.jpg", jpegPhoto(1)))
	for range 50 {
		c := s.dial()
		c.post(w.put(imagery.Image{}).ID, len(body), body[:len(body)-50])
	}
	if got := s.upload(w.put(imagery.Image{}).ID, sized(jpegPhoto(1), chunkSize)); got.StatusCode != 202 {
		t.Errorf("an upload beside tiny ones: %d %s", got.StatusCode, got.body)
	}
}

// TestPartHeadersAreBounded: of what a form has beside the file a few KiB at a time are kept in memory, wherever in the
// form they are.
func TestPartHeadersAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := start(t, w, unhurried())
	photo := "--" + boundary + "\r\nContent-Disposition: form-data; name=f; filename=a.jpg\r\n\r\n" +
		string(jpegPhoto(1)) + "\r\n"
	end, delimiter := "--"+boundary+"--\r\n", "--"+boundary+"\r\n"
	part := func(header string) string { return "--" + boundary + "\r\n" + header + "\r\n\r\nx\r\n" }
	long := "Content-Disposition: form-data; name=x\r\nX-Long: " + strings.Repeat("x", 2*maxPartHeader)
	many := "Content-Disposition: form-data; name=x" + strings.Repeat("\r\na: b", 70)
	short := part("Content-Disposition: form-data; name=x")
	for name, test := range map[string]struct {
		form   string
		status int
	}{
		"a long header behind the file": {photo + part(long) + end, 400},
		"a long header before the file": {part(long) + photo + end, 400},
		"many fields behind the file":   {photo + part(many) + end, 400},
		"many fields before the file":   {part(many) + photo + end, 400},
		"many parts behind the file":    {photo + strings.Repeat(short, 200) + end, 202},
		"many parts before the file":    {strings.Repeat(short, 200) + photo + end, 202},
		"a long field behind the file":  {photo + delimiter + "\r\n" + strings.Repeat("x", 100<<10) + "\r\n" + end, 202},
		"a long preamble":               {strings.Repeat("x", 20<<10) + "\r\n" + photo + end, 400},
		"a long epilogue":               {photo + end + strings.Repeat("x", 100<<10), 202},
	} {
		r := s.request("POST", "/image/"+w.put(imagery.Image{}).ID+"/upload", strings.NewReader(test.form))
		r.Header.Set("Content-Type", formType)
		if got := s.do(r); got.StatusCode != test.status {
			t.Errorf("%s: %d %s, want %d", name, got.StatusCode, got.body, test.status)
		}
	}
}

// TestNoRoomLater: nor does it help that the bytes which did find room are bad.
func TestNoRoomLater(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := start(t, w, quick(), func(o *Options) {
		o.Budget = 2 * chunkSize
		o.Inspect = func(r io.Reader) error {
			if n, _ := io.Copy(io.Discard, r); n > chunkSize {
				return &imagery.BadPhoto{Kind: imagery.Unreadable, Reason: "It goes bad later."}
			}
			return nil
		}
	})
	s.upload(w.put(imagery.Image{}).ID, sized(jpegPhoto(1), 3*chunkSize)).refused(t, 503, "Too many uploads")
	s.upload(w.put(imagery.Image{}).ID, sized(jpegPhoto(1), 2*chunkSize-1)).refused(t, 422, "bad later")
	w.untouched(t)
}

// TestBytesOutliveNothing: a client library may still read the body of an upload when the request is over. It
// gets an error then, and never the bytes of somebody else.
func TestBytesOutliveNothing(t *testing.T) {
	t.Parallel()
	r := newRoom(chunkSize, nil, time.Millisecond, time.Hour)
	h := r.enter(nil)
	if _, err := h.fill(t.Context(), bytes.NewReader([]byte("mine"))); err != nil {
		t.Fatal(err)
	}
	body := h.reader()
	if got, err := io.ReadAll(body); string(got) != "mine" || err != nil {
		t.Fatalf("%q %v", got, err)
	}
	h.leave()
	if _, err := body.ReadAt(make([]byte, 4), 0); !errors.Is(err, errLeft) {
		t.Errorf("read after leave: %v", err)
	}
}
