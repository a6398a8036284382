package browser

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
)

// What the server mended is on the card of the photo, still after a reload, and is announced.
func TestWarnedStates(t *testing.T) {
	t.Parallel()
	const warning = "The end of this photo was missing; its last 12 rows are grey."
	tb := openTab(t, sharedFleet(t).url)
	tb.expectNetworkErrors() // the page asks for the result before the fleet, which it did not ask, has it
	pass := tb.intercept("*wait=*", func(r *network.Request) *fetch.FulfillRequestParams {
		_, id, _ := strings.Cut(r.URL, "/image/")
		id, _, _ = strings.Cut(id, "?")
		body, _ := json.Marshal(map[string]any{"id": id, "version": 2, "state": "processed", "warning": warning})
		return &fetch.FulfillRequestParams{ResponseCode: 200, Body: body}
	})
	tb.pick(jpegFile(t, "torn.jpg", 300, 200, 1))
	tb.awaitResult("torn.jpg")
	pass()
	says := card("torn.jpg") + `.querySelector('.warning').innerText === '` + warning + `'`
	tb.until("the card has the warning", says)
	if got := eval[string](tb, `log.textContent`); !strings.Contains(got, "torn.jpg: Done "+warning) {
		t.Errorf("the live region says %q", got)
	}
	tb.checkState("warned")
	tb.reload()
	tb.until("the card still has the warning", says)

	tb.pick(jpegFile(t, "whole.jpg", 300, 200, 2))
	tb.awaitResult("whole.jpg")
	if eval[bool](tb, card("whole.jpg")+`.querySelector('.warning').checkVisibility()`) {
		t.Error("a photo in which nothing was mended has a warning")
	}
}

// An original that the browser cannot show has a placeholder with its name and kind.
func TestBlankStates(t *testing.T) {
	t.Parallel()
	tb := openTab(t, sharedFleet(t).url)
	tb.intercept("*/upload", hang)
	heic := append([]byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"), make([]byte, 100)...)
	tb.pick(write(t, "IMG_1234.HEIC", heic))
	tb.awaitText("IMG_1234.HEIC", "^Sen")
	blank := card("IMG_1234.HEIC") + `.querySelector('.blank')`
	tb.until("a placeholder is shown", blank+`.checkVisibility()`)
	const want = "IMG_1234.HEIC\nThis browser cannot show this HEIC."
	if got := eval[string](tb, blank+`.innerText`); got != want {
		t.Errorf("the placeholder says %q, want %q", got, want)
	}
	tb.checkState("blank")
	tb.reload()
	tb.until("it is shown after a reload, too", blank+`?.checkVisibility()`)
}
