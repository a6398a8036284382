package browser

import (
	"bytes"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"

	"imagery/app/client"
	"imagery/app/imagery"
)

// layouts are the screen sizes and colour schemes in which every state is checked.
var layouts = []struct {
	name, scheme  string
	width, height int64
}{
	{"desktop-light", "light", 1280, 800},
	{"desktop-dark", "dark", 1280, 800},
	{"phone-light", "light", 320, 640},
	{"phone-dark", "dark", 320, 640},
}

// checkState checks the page in all layouts, and takes screenshots if they are wanted.
func (tb *tab) checkState(state string) {
	tb.t.Helper()
	for _, l := range layouts {
		call(tb, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: l.width, Height: l.height, DeviceScaleFactor: 1, Mobile: l.width < 500,
		})
		call(tb, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: l.width < 500})
		call(tb, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: l.scheme},
			{Name: "prefers-reduced-motion", Value: "reduce"}, // so that no picture is of a movement
		}})
		tb.accessible(state + ", " + l.name)
		if wide := eval[int64](tb, `document.documentElement.scrollWidth`) - l.width; wide > 0 {
			tb.t.Errorf("%s, %s: %d px wider than the screen", state, l.name, wide)
		}
		if *shots == "" {
			continue
		}
		size := eval[[]float64](tb, `[innerWidth, Math.max(innerHeight, document.documentElement.scrollHeight)]`)
		shot := call(tb, page.CaptureScreenshot, page.CaptureScreenshotParams{
			CaptureBeyondViewport: new(true),
			Clip:                  &page.Viewport{Width: size[0], Height: size[1], Scale: 1},
		})
		if err := os.WriteFile(filepath.Join(*shots, state+"-"+l.name+".png"), shot.Data, 0o644); err != nil {
			tb.t.Fatal(err)
		}
	}
	call(tb, emulation.ClearDeviceMetricsOverride, cdp.Empty{})
}

func TestStates(t *testing.T) {
	t.Parallel()
	f := sharedFleet(t)
	w := newTCPProxy(t, f)
	tb := openTab(t, w.url)
	tb.expectNetworkErrors()
	tb.checkState("empty")

	const size = 12 << 20 // takes longer than the checks
	tb.setNetwork(100_000, false)
	tb.pick(
		pad(t, jpegFile(t, "lake.jpg", 1200, 800, 1), size),
		pad(t, jpegFile(t, "dunes at dusk.jpg", 900, 1200, 2.2), size),
		pad(t, jpegFile(t, "pines.jpg", 1200, 800, 4), size),
	)
	names := []string{"lake.jpg", "dunes at dusk.jpg", "pines.jpg"}
	tb.awaitAnyText(names, `^Sending, [1-9]\d? %`) // two are sent at once, those that were read first
	tb.checkState("sending")

	w.cut()
	tb.setNetwork(-1, true)
	for _, name := range names {
		tb.awaitText(name, "offline")
	}
	tb.checkState("offline")

	pass := tb.intercept("*wait=*", hang)
	w.restore()
	tb.setNetwork(-1, false)
	for _, name := range names {
		tb.awaitText(name, "Processing")
	}
	tb.checkState("processing")
	pass()
	for _, name := range names {
		tb.awaitResult(name)
	}
	tb.checkState("done")

	id := tb.idOf("dunes at dusk.jpg")
	tb.visit("#view=" + id)
	tb.until("the result shows", `document.querySelector('#stage .after').naturalWidth > 0`)
	tb.checkState("view")
}

// The pages of links to photos of other browsers.
func TestVisitorStates(t *testing.T) {
	t.Parallel()
	f := sharedFleet(t)
	c := client.New(f.url)
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, landscape(900, 1200, 2.2), nil); err != nil {
		t.Fatal(err)
	}
	img, err := c.Create(t.Context(), imagery.NewID())
	if err == nil {
		img, err = c.Upload(t.Context(), img.ID, "dunes at dusk.jpg", photo.Bytes())
	}
	if err == nil {
		img, err = c.Wait(t.Context(), img)
	}
	if err != nil {
		t.Fatal(err)
	}
	tb := openTab(t, f.url)
	tb.visit("#view=" + img.ID)
	tb.until("the result shows", `document.querySelector('#stage .after').naturalWidth > 0`)
	tb.checkState("view-visitor")
	tb.visit("#upload=" + img.ID)
	tb.checkState("upload")
	tb.visit("#view=" + img.ID[:20])
	tb.checkState("link-broken")
	tb.expectNetworkErrors()
	tb.visit("#view=" + otherID(img.ID))
	tb.until("the link says so", `stage.innerText.includes('There is no photo')`)
	tb.checkState("link-gone")
}

func TestRefusedStates(t *testing.T) {
	t.Parallel()
	f := sharedFleet(t)
	tb := openTab(t, f.url)
	tb.expectNetworkErrors()
	tb.pick(
		heavyFile(t, "large.jpg", 23<<20),
		write(t, "notes.txt", []byte("no photo")),
		hugePNG(t, "panorama.png", 10_000, 6_000),
		truncatedFile(t, "half.png"),
	)
	tb.awaitText("half.png", ".")
	tb.until("the half photo has failed", card("half.png")+`?.dataset.stage === 'failed'`)
	tb.checkState("refused")

	tb.click("notes.txt", "remove")
	tb.checkState("removed")

	tb.intercept("*/upload", func(*network.Request) *fetch.FulfillRequestParams {
		return problem(503, "Busy.", "Retry-After", "60")
	})
	tb.pick(jpegFile(t, "patient.jpg", 600, 400, 3))
	tb.awaitText("patient.jpg", "busy")
	tb.checkState("busy")
}

// The states after the browser deleted the bytes, and after a connection that was too slow.
func TestInterruptedStates(t *testing.T) {
	t.Parallel()
	tb := openTab(t, sharedFleet(t).url)
	// The reload must not come before the rows are stored.
	eval[bool](tb, `(rows => new Promise((stored, failed) => indexedDB.open('imagery').onsuccess = e => {
		const change = e.target.result.transaction('photos', 'readwrite');
		change.oncomplete = () => stored(true);
		change.onabort = () => failed(change.error);
		const photos = change.objectStore('photos');
		for (const [i, row] of rows.entries()) photos.put({...row, added: i, size: 1e6, own: true, id: crypto.randomUUID()});
	}))([{name: 'thrown away.jpg', stage: 'waiting'},
		{name: 'too slow.jpg', stage: 'stopped', note: 'The connection is too slow for this photo.'}])`)
	tb.reload()
	tb.awaitText("thrown away.jpg", "no longer has")
	tb.checkState("interrupted")
}
