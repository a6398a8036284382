package browser

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

func TestServersKilledWhileSending(t *testing.T) {
	t.Parallel()
	f := ownFleet(t)
	tb := openTab(t, f.url)
	tb.breaks()
	tb.line(200_000, false)
	tb.pick(heavyFile(t, "first.jpg", 1<<20), heavyFile(t, "second.jpg", 1<<20+1))
	for _, name := range []string{"first.jpg", "second.jpg"} {
		tb.says(name, `^Sending, [1-9]\d? %$`)
	}
	f.signal(t, "server", syscall.SIGKILL)
	tb.says("first.jpg", `Trying again`)
	tb.line(-1, false)
	tb.turned("first.jpg")
	tb.turned("second.jpg")
	if n := tb.count("POST", "/upload"); n < 4 {
		t.Errorf("%d uploads: the kill did not hit both", n)
	}
}

func TestOfflineAndBack(t *testing.T) {
	t.Parallel()
	w := newWire(t, sharedFleet(t))
	tb := openTab(t, w.url)
	tb.breaks()
	tb.line(100_000, false)
	tb.pick(heavyFile(t, "midway.jpg", 1<<20))
	tb.says("midway.jpg", `^Sending, [1-9]\d? %$`)
	w.cut()
	tb.line(-1, true)
	tb.until("the page says that it is offline", `offline.checkVisibility()`)
	tb.pick(jpegFile(t, "later.jpg", 300, 200, 1))
	for _, name := range []string{"midway.jpg", "later.jpg"} {
		tb.says(name, "^(You are offline|The server does not answer)")
	}
	w.mend()
	tb.line(-1, false)
	tb.turned("midway.jpg")
	tb.turned("later.jpg")
	tb.until("the page no longer says so", `!offline.checkVisibility()`)
}

// failFirst answers the first n uploads in the server's place, and notes when each was tried.
func (tb *tab) failFirst(n int, reply *fetch.FulfillRequestParams) (tries func() []time.Time) {
	var mu sync.Mutex
	var at []time.Time
	tb.intercept("*/upload", func(*network.Request) *fetch.FulfillRequestParams {
		mu.Lock()
		defer mu.Unlock()
		at = append(at, time.Now())
		if len(at) > n {
			return nil
		}
		answer := *reply
		return &answer
	})
	return func() []time.Time {
		mu.Lock()
		defer mu.Unlock()
		return append([]time.Time(nil), at...)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	tb := openTab(t, sharedFleet(t).url)
	tb.breaks()
	tries := tb.failFirst(1, problem(503, "No room.", "Retry-After", "3"))
	tb.pick(jpegFile(t, "patient.jpg", 300, 200, 1))
	tb.says("patient.jpg", "^The server is busy. Trying again in 3 seconds")
	tb.run(`dispatchEvent(new Event('online'))`) // ends pauses of our own making only
	for end := time.Now().Add(waitTimeout); len(tries()) < 2; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never tried again")
		}
	}
	if pause := tries()[1].Sub(tries()[0]); pause < 2900*time.Millisecond {
		t.Errorf("tried again after %v, asked for 3s", pause)
	}
}

// A server that is full answers waits at once. The page asks again after a pause, and not before Retry-After.
func TestEarlyWaits(t *testing.T) {
	t.Parallel()
	for seconds, least := range map[string]time.Duration{"": 900 * time.Millisecond, "2": 1900 * time.Millisecond} {
		tb := openTab(t, sharedFleet(t).url)
		var mu sync.Mutex
		var at []time.Time
		tb.intercept("*wait=*", func(r *network.Request) *fetch.FulfillRequestParams {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Now())
			path, _, _ := strings.Cut(r.URL, "?")
			answer := problem(200, "", "Content-Type", "application/json")
			answer.Body = []byte(`{"id":"` + path[len(path)-36:] + `","version":1,"state":"uploaded","created":1}`)
			if seconds != "" {
				answer.ResponseHeaders = append(answer.ResponseHeaders, &fetch.HeaderEntry{Name: "Retry-After", Value: seconds})
			}
			return answer
		})
		tb.pick(jpegFile(t, "crowded.jpg", 300, 200, 1))
		var polls []time.Time
		for end := time.Now().Add(waitTimeout); len(polls) < 4; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("only %d polls", len(polls))
			}
			mu.Lock()
			polls = slices.Clone(at)
			mu.Unlock()
		}
		for i := range polls[1:] {
			if pause := polls[i+1].Sub(polls[i]); pause < least {
				t.Errorf("Retry-After %q: asked again after %v", seconds, pause)
			}
		}
	}
}

// The store may be away when the result is asked for.
func TestResultLate(t *testing.T) {
	t.Parallel()
	tb := openTab(t, sharedFleet(t).url)
	tb.breaks()
	pass := tb.intercept("*/processed", func(*network.Request) *fetch.FulfillRequestParams { return problem(503, "Away.") })
	tb.pick(jpegFile(t, "late.jpg", 300, 200, 1))
	tb.says("late.jpg", "^Done")
	tb.until("it was asked for twice", card("late.jpg")+`.scrollIntoView(), performance.getEntriesByType('resource').filter(e => e.name.endsWith('/processed')).length > 1`)
	pass()
	tb.turned("late.jpg")
}

func TestTooSlow(t *testing.T) {
	t.Parallel()
	tb := openTab(t, sharedFleet(t).url)
	tb.breaks()
	pass := tb.intercept("*/upload", func(*network.Request) *fetch.FulfillRequestParams { return problem(408, "Too slow.") })
	tb.pick(jpegFile(t, "slow.jpg", 300, 200, 1))
	tb.says("slow.jpg", "^The connection is too slow")
	pass()
	tb.click("slow.jpg", "again")
	tb.turned("slow.jpg")
}

// On a line that is too slow the browser hides the server's 408 and sends again by itself. The page has to come to
// the end of its waitTimeout all the same. Its minute is 1.5 s long here.
func TestTooSlowUnsaid(t *testing.T) {
	t.Parallel()
	tb := openTab(t, sharedFleet(t).url)
	tb.breaks()
	call(tb, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `((real) => window.setTimeout = (f, ms, ...rest) => real(f, {60000: 1500, 12000: 300}[ms] ?? ms, ...rest))(setTimeout)`,
	})
	tb.reload()
	tb.line(100_000, false)
	tb.pick(heavyFile(t, "endless.jpg", 8<<20))
	tb.says("endless.jpg", "^The connection was too slow. Trying again")
	tb.says("endless.jpg", "^The connection is too slow")
	if n := tb.count("POST", "/upload"); n != 3 {
		t.Errorf("%d uploads before it was said", n)
	}
	tb.line(-1, false)
	tb.click("endless.jpg", "again")
	tb.turned("endless.jpg")
}

// A photo that the server refuses after its first bytes is explained long before the rest is sent.
func TestRefusedEarly(t *testing.T) {
	t.Parallel()
	tb := openTab(t, sharedFleet(t).url)
	tb.breaks()
	tb.line(400_000, false)
	noHeader := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"), "and then nothing that makes sense"...)
	tb.pick(pad(t, write(t, "bad.png", noHeader), 12<<20))
	tb.says("bad.png", "^Not sent. This photo")
	if n := tb.count("POST", "/upload"); n != 1 {
		t.Errorf("%d uploads of a photo that was refused", n)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	tb := openTab(t, sharedFleet(t).url)
	tb.breaks()
	heic := append([]byte{0, 0, 0, 24}, "ftypheic0000"...)
	animated := append([]byte("RIFF0000WEBPVP8X\n\x00\x00\x00\x02"), make([]byte, 40)...)
	here := []struct{ file, says string }{
		{heavyFile(t, "large.jpg", 20<<20+1), "20.1 MB; up to 20 MB"},
		{write(t, "empty.jpg", nil), "empty"},
		{write(t, "notes.jpg", []byte("no photo")), "not a photo"},
		{write(t, "drawing.svg", []byte("<svg xmlns='http://www.w3.org/2000/svg'/>")), "not a photo"},
		{write(t, "phone.heic", heic), "HEIC"},
		{write(t, "dance.webp", animated), "animated"},
		{hugePNG(t, "panorama.png", 10_000, 5_001), "50.1 million; up to 50 million"},
	}
	there := []struct{ file, says string }{
		{write(t, "header.jpg", []byte("\xff\xd8\xff\xe0 and then nothing that makes sense")), "^Not sent"},
		{truncatedFile(t, "half.png"), "."},
	}
	var files []string
	for _, c := range append(here, there...) {
		files = append(files, c.file)
	}
	tb.pick(append(files, jpegFile(t, "good.jpg", 300, 200, 1))...)
	for _, c := range append(here, there...) {
		tb.says(filepath.Base(c.file), c.says)
	}
	tb.until("the half photo has failed", card("half.png")+`.dataset.stage === 'failed'`)
	tb.turned("good.jpg")
	if n := tb.count("POST", "/upload"); n != 3 {
		t.Errorf("%d uploads, want only header.jpg, half.png and good.jpg", n)
	}

	tb.run(card("half.png") + `.querySelector('.refill').click()`)
	tb.until("another photo may be sent there", `document.body.dataset.route === 'upload'`)
	tb.pick(jpegFile(t, "whole.jpg", 300, 200, 2))
	tb.until("and is turned", `document.querySelector('#stage .after')?.naturalWidth === 300`)
}

// Page and server have the same limit, whatever it is.
func TestMaxPixels(t *testing.T) {
	t.Parallel()
	tb := openTab(t, ownFleet(t, "-max-pixels", "600000").url)
	if says := eval[string](tb, `document.querySelector('.tray').innerText`); !strings.Contains(says, "0.6 megapixels") {
		t.Errorf("the page says %q", says)
	}
	tb.pick(jpegFile(t, "equal.jpg", 1000, 600, 1), jpegFile(t, "above.jpg", 1000, 601, 1))
	tb.says("above.jpg", "1,000 × 601 pixels.*up to 0.6 million")
	tb.turned("equal.jpg")
	if n := tb.count("POST", "/upload"); n != 1 {
		t.Errorf("%d uploads, want only that of equal.jpg", n)
	}
}

func TestWithoutIndexedDB(t *testing.T) {
	t.Parallel()
	tb := openTab(t, sharedFleet(t).url)
	call(tb, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `Object.defineProperty(window, 'indexedDB', {value: undefined})`,
	})
	tb.reload()
	tb.until("the page says that it forgets", `forgetful.checkVisibility()`)
	tb.line(100_000, false)
	file := heavyFile(t, "twice.jpg", 1<<20)
	tb.pick(file)
	tb.says("twice.jpg", `^Sending, [1-9]\d? %$`)
	id := tb.idOf("twice.jpg")
	tb.do(chromedp.Click(chromedp.CSS("h1"))) // a browser asks only on pages that somebody has used
	asked := tb.leaves()
	tb.reload()
	if !asked() {
		t.Error("the only copy of the photo was left without a question")
	}
	tb.line(-1, false)
	tb.says("twice.jpg", "^This browser no longer has the photo")
	again := chromedp.CSS(`#prints .repick input`)
	tb.do(chromedp.SetUploadFiles(again, []string{jpegFile(t, "wrong.jpg", 300, 200, 1)}, chromedp.NodeReady))
	tb.says("twice.jpg", "^This is a different file")
	tb.do(chromedp.SetUploadFiles(again, []string{file}, chromedp.NodeReady))
	tb.turned("twice.jpg")
	if now := tb.idOf("twice.jpg"); now != id {
		t.Errorf("sent under %s, and %s before the reload", now, id)
	}
}

// leaves answers "leave this page?" with yes, and says whether that was asked.
func (tb *tab) leaves() (asked func() bool) {
	tb.t.Helper()
	var n atomic.Int32
	err := chromedp.Listen(tb.ctx, func(ev any) {
		if _, ok := ev.(*page.EventJavascriptDialogOpening); ok {
			n.Add(1)
			go chromedp.Call(tb.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
		}
	})
	if err != nil {
		tb.t.Fatal(err)
	}
	return func() bool { return n.Load() > 0 }
}

// Two tabs of one profile share what is remembered: only one sends, and the other goes on when it is closed.
func TestTwoTabs(t *testing.T) {
	t.Parallel()
	f := sharedFleet(t)
	first := openTab(t, f.url)
	first.line(50_000, false)
	first.pick(heavyFile(t, "shared.jpg", 2<<20))
	first.says("shared.jpg", `^Sending, [1-9]\d? %$`)
	second := first.sibling()
	second.says("shared.jpg", "^Another tab is sending")
	if n := second.count("POST", "/upload"); n != 0 {
		t.Errorf("the second tab sends too: %d uploads", n)
	}
	first.do(chromedp.Navigate("about:blank"))
	second.turned("shared.jpg")
}
