package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// waitTimeout bounds every wait for something that must happen, also on a busy machine. A usual run stays far below it.
const waitTimeout = time.Minute

// tab is a tab with a new profile. It records requests and errors.
type tab struct {
	t       *testing.T
	ctx     context.Context
	base    string
	allowed *regexp.Regexp // the paths that the page may ask its server for
	bucket  string         // address of the bucket whose results it may have, if there is one

	mu            sync.Mutex
	requests      []request
	byID          map[network.RequestID]int
	problems      []string
	polls         map[network.RequestID]bool // long polls in flight
	mostPolls     int
	paused        func(*fetch.EventRequestPaused)
	networkErrors bool // the test causes failed requests
}

type request struct {
	method, url string
	status      int64
}

// photoPaths are the paths that the page of the photos may request.
var photoPaths = regexp.MustCompile(`^/(|[a-z]+\.(js|css|svg)|healthz|image|image/[0-9a-f-]{36}(|/upload|/processed))$`)

// openTab opens base in a new profile. At the end of the test the tab must have reported no error and requested only
// its own server's paths.
func openTab(t *testing.T, base string) *tab {
	t.Helper()
	tb := newTab(t, base, chromedp.WithNewBrowserContext())
	tb.visit("")
	return tb
}

// sibling opens another tab with the same profile.
func (tb *tab) sibling() *tab {
	tb.t.Helper()
	other := newTab(tb.t, tb.base, chromedp.WithExistingBrowserContext(chromedp.FromContext(tb.ctx).BrowserContextID))
	other.visit("")
	return other
}

// newTab opens an empty tab.
func newTab(t *testing.T, base string, profile chromedp.ContextOption) *tab {
	t.Helper()
	ctx, err := browser()
	skipUnless(t, err)
	tb := &tab{t: t, base: base, allowed: photoPaths, byID: map[network.RequestID]int{},
		polls: map[network.RequestID]bool{}}
	var cancel context.CancelFunc
	tb.ctx, cancel = chromedp.NewContext(ctx, profile, chromedp.WithListener(tb.onEvent))
	t.Cleanup(cancel)
	t.Cleanup(tb.verify)
	call(tb, network.Enable, network.EnableParams{})
	call(tb, log.Enable, cdp.Empty{})
	return tb
}

// onEvent runs in the loop that reads the tab's messages, so it only records.
func (tb *tab) onEvent(ev any) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	switch ev := ev.(type) {
	case *network.EventRequestWillBeSent:
		tb.byID[ev.RequestID] = len(tb.requests)
		if ev.Type == network.ResourceTypeDocument {
			clear(tb.polls) // the browser reports no end of these
		}
		tb.requests = append(tb.requests, request{method: ev.Request.Method, url: ev.Request.URL})
		// For a request that was intercepted before the network, the browser reports no end when the page aborts it.
		if strings.Contains(ev.Request.URL, "?wait=") && tb.paused == nil {
			tb.polls[ev.RequestID] = true
			tb.mostPolls = max(tb.mostPolls, len(tb.polls))
		}
	case *network.EventResponseReceived:
		if i, ok := tb.byID[ev.RequestID]; ok {
			tb.requests[i].status = ev.Response.Status
		}
	case *network.EventLoadingFinished:
		delete(tb.polls, ev.RequestID)
	case *network.EventLoadingFailed:
		delete(tb.polls, ev.RequestID)
	case *fetch.EventRequestPaused:
		if tb.paused != nil {
			go tb.paused(ev)
		}
	case *runtime.EventExceptionThrown:
		tb.problems = append(tb.problems, "exception: "+ev.ExceptionDetails.Text+exceptionText(ev.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		tb.problems = append(tb.problems, fmt.Sprint("console: ", ev.Type))
	case *log.EventEntryAdded:
		// Chromium logs every status from 400 on and every lost connection; a test that causes them must allow them.
		if !tb.networkErrors || ev.Entry.Source != log.EntrySourceNetwork {
			tb.problems = append(tb.problems, fmt.Sprint("log: ", ev.Entry.Source, " ", ev.Entry.Text, " ", ev.Entry.URL))
		}
	}
}

func exceptionText(d *runtime.ExceptionDetails) string {
	if d.Exception == nil {
		return ""
	}
	return " " + d.Exception.Description
}

// expectNetworkErrors allows failed requests from now on.
func (tb *tab) expectNetworkErrors() {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.networkErrors = true
}

func (tb *tab) verify() {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	for _, c := range tb.problems {
		tb.t.Errorf("the page reported %s", c)
	}
	for _, r := range tb.requests {
		u, err := url.Parse(r.url)
		if err != nil || u.Scheme == "blob" || u.Scheme == "data" || u.Scheme == "about" {
			continue
		}
		key, inBucket := strings.CutPrefix(r.url, tb.bucket+"/")
		fromBucket := tb.bucket != "" && inBucket && r.method == "GET" && strings.HasPrefix(key, "processed/")
		if own := u.Scheme+"://"+u.Host == tb.base && tb.allowed.MatchString(u.Path); !own && !fromBucket {
			tb.t.Errorf("the page asked for %s %s", r.method, r.url)
		}
	}
	if tb.mostPolls > 2 {
		tb.t.Errorf("%d long polls at once, want at most 2", tb.mostPolls)
	}
}

// count returns how many requests have this method and a path that ends in suffix.
func (tb *tab) count(method, suffix string) int {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	n := 0
	for _, r := range tb.requests {
		if u, err := url.Parse(r.url); err == nil && r.method == method && strings.HasSuffix(u.Path, suffix) {
			n++
		}
	}
	return n
}

func (tb *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, waitTimeout)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		tb.t.Fatal(err)
	}
}

// call sends one command of the DevTools protocol to the tab.
func call[P, R any](tb *tab, cmd cdp.Command[P, R], params P) R {
	tb.t.Helper()
	r, err := chromedp.Call(tb.ctx, cmd, params)
	if err != nil {
		tb.t.Fatalf("%s: %v", cmd.Method, err)
	}
	return r
}

func (tb *tab) visit(hash string) {
	tb.t.Helper()
	tb.do(chromedp.Navigate(tb.base + "/" + hash))
	tb.until("the page is ready", `document.body.classList.contains('ready')`)
}

func (tb *tab) reload() {
	tb.t.Helper()
	tb.do(chromedp.Reload())
	tb.until("the page is ready", `document.body.classList.contains('ready')`)
}

// eval returns the value of a JavaScript expression.
func eval[T any](tb *tab, expr string) T {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, waitTimeout)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expr, chromedp.EvalAwaitPromise))
	if err != nil {
		tb.t.Fatalf("%s: %v", expr, err)
	}
	return v
}

// run evaluates an expression for its effect.
func (tb *tab) run(expr string) {
	tb.t.Helper()
	eval[bool](tb, "("+expr+", true)")
}

// until waits for a condition, which may be a promise, also across reloads.
func (tb *tab) until(what, expr string) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, waitTimeout)
	defer cancel()
	met := chromedp.Evaluate[bool]("Promise.resolve(("+expr+")).then(Boolean)", chromedp.EvalAwaitPromise)
	for {
		ok, err := chromedp.Run(ctx, met)
		if ok && err == nil {
			return
		}
		if ctx.Err() != nil {
			text, _ := chromedp.Run(tb.ctx, chromedp.Evaluate[string](`document.body.innerText`))
			tb.t.Fatalf("timed out waiting until %s (%v); the page says:\n%s", what, err, text)
		}
		time.Sleep(40 * time.Millisecond)
	}
}

// card returns a JavaScript expression for the listed photo of that name.
func card(name string) string {
	quoted, _ := json.Marshal(name)
	return fmt.Sprintf(`[...document.querySelectorAll('#prints .print')]
		.find(p => p.querySelector('.name').textContent === %s)`, quoted)
}

func cardText(name string) string { return card(name) + `?.querySelector('.words').textContent` }

// awaitText waits until the text of the photo's state matches a JavaScript regular expression.
func (tb *tab) awaitText(name, pattern string) {
	tb.t.Helper()
	tb.until(name+" says "+pattern, fmt.Sprintf(`/%s/.test(%s)`, pattern, cardText(name)))
}

// awaitAnyText waits until the state of one of the photos matches.
func (tb *tab) awaitAnyText(names []string, pattern string) {
	tb.t.Helper()
	var texts []string
	for _, name := range names {
		texts = append(texts, cardText(name))
	}
	tb.until("a photo says "+pattern, fmt.Sprintf(`[%s].some(text => /%s/.test(text))`, strings.Join(texts, ", "),
		pattern))
}

func (tb *tab) idOf(name string) string {
	tb.t.Helper()
	return strings.TrimPrefix(eval[string](tb, card(name)+`.querySelector('.open').hash`), "#view=")
}

// awaitResult waits until the result of the photo is on the screen.
func (tb *tab) awaitResult(name string) {
	tb.t.Helper()
	tb.awaitText(name, "^Done")
	tb.run(card(name) + `.scrollIntoView()`) // pictures load when they come near
	tb.until(name+" shows its result", card(name)+`.querySelector('.after').naturalWidth > 0`)
}

func (tb *tab) pick(files ...string) {
	tb.t.Helper()
	tb.do(chromedp.SetUploadFiles(chromedp.ID("pick"), files, chromedp.NodeReady))
}

// click clicks a control of a listed photo by script, independent of the layout.
func (tb *tab) click(name, part string) {
	tb.t.Helper()
	tb.run(card(name) + `.querySelector('.` + part + `').click()`)
}
