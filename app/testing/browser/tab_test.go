package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
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

// tab is one tab with a fresh profile, and the record of all that it asked for and complained about.
type tab struct {
	t       *testing.T
	ctx     context.Context
	base    string
	allowed *regexp.Regexp // the paths that the page may ask its server for
	bucket  string         // address of the bucket whose results it may have, if there is one

	mu        sync.Mutex
	requests  []request
	byID      map[network.RequestID]int
	complaint []string
	polls     map[network.RequestID]bool // long polls in flight
	mostPolls int
	paused    func(*fetch.EventRequestPaused)
	faults    bool // the test breaks the network, so that failed loads are no complaint
}

type request struct {
	method, url string
	status      int64
}

// photoPaths is everything that the page of the photos may ever ask for.
var photoPaths = regexp.MustCompile(`^/(|[a-z]+\.(js|css|svg)|healthz|image|image/[0-9a-f-]{36}(|/upload|/processed))$`)

// openTab opens base in a new profile. When the test ends the tab must have complained about nothing and asked
// for nothing but its own server's pages.
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

// newTab is still empty.
func newTab(t *testing.T, base string, profile chromedp.ContextOption) *tab {
	t.Helper()
	ctx, err := browser()
	skipUnless(t, err)
	tb := &tab{t: t, base: base, allowed: photoPaths, byID: map[network.RequestID]int{}, polls: map[network.RequestID]bool{}}
	var cancel context.CancelFunc
	tb.ctx, cancel = chromedp.NewContext(ctx, profile, chromedp.WithListener(tb.hear))
	t.Cleanup(cancel)
	t.Cleanup(tb.verify)
	call(tb, network.Enable, network.EnableParams{})
	call(tb, log.Enable, cdp.Empty{})
	return tb
}

// hear runs in the loop that reads the tab's messages, so it only takes notes.
func (tb *tab) hear(ev any) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	switch ev := ev.(type) {
	case *network.EventRequestWillBeSent:
		tb.byID[ev.RequestID] = len(tb.requests)
		if ev.Type == network.ResourceTypeDocument {
			clear(tb.polls) // of a page that is left, the browser tells no ends
		}
		tb.requests = append(tb.requests, request{method: ev.Request.Method, url: ev.Request.URL})
		// Of a request that was held back before the network the browser tells no end when the page gives it up.
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
		tb.complaint = append(tb.complaint, "exception: "+ev.ExceptionDetails.Text+exceptionText(ev.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		tb.complaint = append(tb.complaint, fmt.Sprint("console: ", ev.Type))
	case *log.EventEntryAdded:
		// Chromium itself logs every answer from 400 on and every lost connection; a test that causes them
		// cannot also forbid them.
		if !tb.faults || ev.Entry.Source != log.EntrySourceNetwork {
			tb.complaint = append(tb.complaint, fmt.Sprint("log: ", ev.Entry.Source, " ", ev.Entry.Text, " ", ev.Entry.URL))
		}
	}
}

func exceptionText(d *runtime.ExceptionDetails) string {
	if d.Exception == nil {
		return ""
	}
	return " " + d.Exception.Description
}

// breaks says that from now on failed loads are the test's doing.
func (tb *tab) breaks() {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.faults = true
}

func (tb *tab) verify() {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	for _, c := range tb.complaint {
		tb.t.Errorf("the page complained: %s", c)
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

// count is how many requests so far have this method and a path that ends so.
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

// call sends one command of the protocol to the tab.
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

// eval is the value of a JavaScript expression.
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

// run evaluates for the effect.
func (tb *tab) run(expr string) {
	tb.t.Helper()
	eval[bool](tb, "("+expr+", true)")
}

// until waits for a condition, which may be a promise, also over reloads.
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
			tb.t.Fatalf("waited in vain until %s (%v); the page says:\n%s", what, err, text)
		}
		time.Sleep(40 * time.Millisecond)
	}
}

// card is a JavaScript expression for the listed photo of that name.
func card(name string) string {
	quoted, _ := json.Marshal(name)
	return fmt.Sprintf(`[...document.querySelectorAll('#prints .print')].find(p => p.querySelector('.name').textContent === %s)`, quoted)
}

func said(name string) string { return card(name) + `?.querySelector('.words').textContent` }

// says waits until the photo's state matches the pattern of a JavaScript regular expression.
func (tb *tab) says(name, pattern string) {
	tb.t.Helper()
	tb.until(name+" says "+pattern, fmt.Sprintf(`/%s/.test(%s)`, pattern, said(name)))
}

// anySays waits until the card of one of the photos says something.
func (tb *tab) anySays(names []string, pattern string) {
	tb.t.Helper()
	var texts []string
	for _, name := range names {
		texts = append(texts, said(name))
	}
	tb.until("a photo says "+pattern, fmt.Sprintf(`[%s].some(text => /%s/.test(text))`, strings.Join(texts, ", "), pattern))
}

func (tb *tab) idOf(name string) string {
	tb.t.Helper()
	return strings.TrimPrefix(eval[string](tb, card(name)+`.querySelector('.open').hash`), "#view=")
}

// turned waits until the photo's result is on the screen.
func (tb *tab) turned(name string) {
	tb.t.Helper()
	tb.says(name, "^Done")
	tb.run(card(name) + `.scrollIntoView()`) // pictures load when they come near
	tb.until(name+" shows its result", card(name)+`.querySelector('.after').naturalWidth > 0`)
}

func (tb *tab) pick(files ...string) {
	tb.t.Helper()
	tb.do(chromedp.SetUploadFiles(chromedp.ID("pick"), files, chromedp.NodeReady))
}

// click presses a control of a listed photo, as a script would: layout is not what is tested here.
func (tb *tab) click(name, part string) {
	tb.t.Helper()
	tb.run(card(name) + `.querySelector('.` + part + `').click()`)
}

// intercept answers the requests whose address matches the pattern (* is anything) instead of the server; a nil
// answer leaves the request hanging. The function that it returns lets everything pass again, also what hangs.
func (tb *tab) intercept(pattern string, reply func(*network.Request) *fetch.FulfillRequestParams) (pass func()) {
	tb.t.Helper()
	tb.mu.Lock()
	tb.paused = func(ev *fetch.EventRequestPaused) {
		if got := reply(ev.Request); got != nil {
			got.RequestID = ev.RequestID
			chromedp.Call(tb.ctx, fetch.FulfillRequest, *got) // the request may be gone already
		}
	}
	tb.mu.Unlock()
	call(tb, fetch.Enable, fetch.EnableParams{Patterns: []*fetch.RequestPattern{{URLPattern: pattern}}})
	return func() {
		call(tb, fetch.Disable, cdp.Empty{})
		tb.mu.Lock()
		defer tb.mu.Unlock()
		tb.paused = nil
	}
}

func hang(*network.Request) *fetch.FulfillRequestParams { return nil }

// problem is an answer as the server's, with a header or two.
func problem(status int64, detail string, headers ...string) *fetch.FulfillRequestParams {
	body, _ := json.Marshal(map[string]any{"status": status, "detail": detail})
	p := &fetch.FulfillRequestParams{ResponseCode: status, Body: body}
	for kv := range slices.Chunk(headers, 2) {
		p.ResponseHeaders = append(p.ResponseHeaders, &fetch.HeaderEntry{Name: kv[0], Value: kv[1]})
	}
	return p
}

// line sets the speed of uploads in bytes per second, -1 for as fast as it goes, or cuts the line.
func (tb *tab) line(upload float64, offline bool) {
	tb.t.Helper()
	call(tb, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
		MatchedNetworkConditions: []*network.Conditions{{UploadThroughput: upload, DownloadThroughput: -1, Offline: offline}},
	})
	// The rules alone leave navigator.onLine as it is.
	call(tb, network.OverrideNetworkState, network.OverrideNetworkStateParams{
		Offline: offline, UploadThroughput: -1, DownloadThroughput: -1,
	})
}
