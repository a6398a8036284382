package browser

import (
	"encoding/json"
	"slices"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// intercept answers the requests whose URL matches the pattern (* matches anything) instead of the server; a nil answer
// leaves the request pending. pass ends this, also for pending requests.
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

// problem returns an error answer like the server's, with headers.
func problem(status int64, detail string, headers ...string) *fetch.FulfillRequestParams {
	body, _ := json.Marshal(map[string]any{"status": status, "detail": detail})
	p := &fetch.FulfillRequestParams{ResponseCode: status, Body: body}
	for kv := range slices.Chunk(headers, 2) {
		p.ResponseHeaders = append(p.ResponseHeaders, &fetch.HeaderEntry{Name: kv[0], Value: kv[1]})
	}
	return p
}

// setNetwork limits uploads to so many bytes per second, -1 for no limit, or sets the tab offline.
func (tb *tab) setNetwork(upload float64, offline bool) {
	tb.t.Helper()
	call(tb, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
		MatchedNetworkConditions: []*network.Conditions{{UploadThroughput: upload, DownloadThroughput: -1, Offline: offline}},
	})
	// The rules do not change navigator.onLine.
	call(tb, network.OverrideNetworkState, network.OverrideNetworkStateParams{
		Offline: offline, UploadThroughput: -1, DownloadThroughput: -1,
	})
}
