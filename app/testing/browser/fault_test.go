package browser

import (
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
	tb.expectNetworkErrors()
	tb.setNetwork(200_000, false)
	tb.pick(heavyFile(t, "first.jpg", 1<<20), heavyFile(t, "second.jpg", 1<<20+1))
	for _, name := range []string{"first.jpg", "second.jpg"} {
		tb.awaitText(name, `^Sending, [1-9]\d? %$`)
	}
	f.signal(t, "server", syscall.SIGKILL)
	tb.awaitText("first.jpg", `Trying again`)
	tb.setNetwork(-1, false)
	tb.awaitResult("first.jpg")
	tb.awaitResult("second.jpg")
	if n := tb.count("POST", "/upload"); n < 4 {
		t.Errorf("%d uploads: the kill did not hit both", n)
	}
}

func TestOfflineAndBack(t *testing.T) {
	t.Parallel()
	w := newTCPProxy(t, sharedFleet(t))
	tb := openTab(t, w.url)
	tb.expectNetworkErrors()
	tb.setNetwork(100_000, false)
	tb.pick(heavyFile(t, "midway.jpg", 1<<20))
	tb.awaitText("midway.jpg", `^Sending, [1-9]\d? %$`)
	w.cut()
	tb.setNetwork(-1, true)
	tb.until("the page says that it is offline", `offline.checkVisibility()`)
	tb.pick(jpegFile(t, "later.jpg", 300, 200, 1))
	for _, name := range []string{"midway.jpg", "later.jpg"} {
		tb.awaitText(name, "^(You are offline|The server does not answer)")
	}
	w.restore()
	tb.setNetwork(-1, false)
	tb.awaitResult("midway.jpg")
	tb.awaitResult("later.jpg")
	tb.until("the page no longer says so", `!offline.checkVisibility()`)
}

// failFirst answers the first n uploads instead of the server. tries returns the times of all uploads.
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
	tb.expectNetworkErrors()
	tries := tb.failFirst(1, problem(503, "No room.", "Retry-After", "3"))
	tb.pick(jpegFile(t, "patient.jpg", 300, 200, 1))
	tb.awaitText("patient.jpg", "^The server is busy. Trying again in 3 seconds")
	tb.run(`dispatchEvent(new Event('online'))`) // ends only pauses after failures
	for end := time.Now().Add(waitTimeout); len(tries()) < 2; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never tried again")
		}
	}
	if pause := tries()[1].Sub(tries()[0]); pause < 2900*time.Millisecond {
		t.Errorf("tried again after %v, asked for 3s", pause)
	}
}

// A server that is full answers polls at once. The page polls again after a pause, and not before Retry-After.
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

// The result may be unavailable for a moment.
func TestResultLate(t *testing.T) {
	t.Parallel()
	tb := openTab(t, sharedFleet(t).url)
	tb.expectNetworkErrors()
	pass := tb.intercept("*/processed", func(*network.Request) *fetch.FulfillRequestParams {
		return problem(503,
			"Away.")
	})
	tb.pick(jpegFile(t, "late.jpg", 300, 200, 1))
	tb.awaitText("late.jpg", "^Done")
	tb.until("it was asked for twice", card("late.jpg")+`.scrollIntoView(),
		performance.getEntriesByType('resource').filter(e => e.name.endsWith('/processed')).length > 1`)
	pass()
	tb.awaitResult("late.jpg")
}

func TestTooSlow(t *testing.T) {
	t.Parallel()
	tb := openTab(t, sharedFleet(t).url)
	tb.expectNetworkErrors()
	pass := tb.intercept("*/upload", func(*network.Request) *fetch.FulfillRequestParams {
		return problem(408,
			"Too slow.")
	})
	tb.pick(jpegFile(t, "slow.jpg", 300, 200, 1))
	tb.awaitText("slow.jpg", "^The connection is too slow")
	pass()
	tb.click("slow.jpg", "again")
	tb.awaitResult("slow.jpg")
}

// On a connection that is too slow, the browser hides the server's 408 and sends again by itself. The page must give up
// all the same. Its minute is 1.5 s long here.
func TestTooSlowUnsaid(t *testing.T) {
	t.Parallel()
	tb := openTab(t, sharedFleet(t).url)
	tb.expectNetworkErrors()
	call(tb, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `((real) => window.setTimeout = (f, ms, ...rest) =>
			real(f, {60000: 1500, 12000: 300}[ms] ?? ms, ...rest))(setTimeout)`,
	})
	tb.reload()
	tb.setNetwork(100_000, false)
	tb.pick(heavyFile(t, "endless.jpg", 8<<20))
	tb.awaitText("endless.jpg", "^The connection was too slow. Trying again")
	tb.awaitText("endless.jpg", "^The connection is too slow")
	if n := tb.count("POST", "/upload"); n != 3 {
		t.Errorf("%d uploads before it was said", n)
	}
	tb.setNetwork(-1, false)
	tb.click("endless.jpg", "again")
	tb.awaitResult("endless.jpg")
}

func TestWithoutIndexedDB(t *testing.T) {
	t.Parallel()
	tb := openTab(t, sharedFleet(t).url)
	call(tb, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `Object.defineProperty(window, 'indexedDB', {value: undefined})`,
	})
	tb.reload()
	tb.until("the page says that it forgets", `forgetful.checkVisibility()`)
	tb.setNetwork(100_000, false)
	file := heavyFile(t, "twice.jpg", 1<<20)
	tb.pick(file)
	tb.awaitText("twice.jpg", `^Sending, [1-9]\d? %$`)
	id := tb.idOf("twice.jpg")
	tb.do(chromedp.Click(chromedp.CSS("h1"))) // browsers ask only on pages that the user has used
	asked := tb.acceptLeaving()
	tb.reload()
	if !asked() {
		t.Error("the only copy of the photo was left without a question")
	}
	tb.setNetwork(-1, false)
	tb.awaitText("twice.jpg", "^This browser no longer has the photo")
	again := chromedp.CSS(`#prints .repick input`)
	tb.do(chromedp.SetUploadFiles(again, []string{jpegFile(t, "wrong.jpg", 300, 200, 1)}, chromedp.NodeReady))
	tb.awaitText("twice.jpg", "^This is a different file")
	tb.do(chromedp.SetUploadFiles(again, []string{file}, chromedp.NodeReady))
	tb.awaitResult("twice.jpg")
	if now := tb.idOf("twice.jpg"); now != id {
		t.Errorf("sent under %s, and %s before the reload", now, id)
	}
}

// acceptLeaving answers "leave this page?" with yes, and reports whether the browser asked.
func (tb *tab) acceptLeaving() (asked func() bool) {
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

// Two tabs of one profile share the storage: only one sends, and the other one continues when it is closed.
func TestTwoTabs(t *testing.T) {
	t.Parallel()
	f := sharedFleet(t)
	first := openTab(t, f.url)
	first.setNetwork(50_000, false)
	first.pick(heavyFile(t, "shared.jpg", 2<<20))
	first.awaitText("shared.jpg", `^Sending, [1-9]\d? %$`)
	second := first.sibling()
	second.awaitText("shared.jpg", "^Another tab is sending")
	if n := second.count("POST", "/upload"); n != 0 {
		t.Errorf("the second tab sends too: %d uploads", n)
	}
	first.do(chromedp.Navigate("about:blank"))
	second.awaitResult("shared.jpg")
}
