package browser

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
)

// looks are the four ways in which every state is looked at.
var looks = []struct {
	name, scheme  string
	width, height int64
}{
	{"desktop-light", "light", 1280, 800},
	{"desktop-dark", "dark", 1280, 800},
	{"phone-light", "light", 320, 640},
	{"phone-dark", "dark", 320, 640},
}

// look checks the present state in all looks, and leaves pictures if they are wanted.
func (tb *tab) look(state string) {
	tb.t.Helper()
	for _, l := range looks {
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
	w := newWire(t, f)
	tb := openTab(t, w.url)
	tb.breaks()
	tb.look("empty")

	const size = 3 << 20 // long enough on this line for all the looking
	tb.line(100_000, false)
	tb.pick(
		pad(t, jpegFile(t, "lake.jpg", 1200, 800, 1), size),
		pad(t, jpegFile(t, "dunes at dusk.jpg", 900, 1200, 2.2), size),
		pad(t, jpegFile(t, "pines.jpg", 1200, 800, 4), size),
	)
	names := []string{"lake.jpg", "dunes at dusk.jpg", "pines.jpg"}
	tb.anySays(names, `^Sending, [1-9]\d? %`) // two are sent at once, those that were read first
	tb.look("sending")

	w.cut()
	tb.line(-1, true)
	for _, name := range names {
		tb.says(name, "offline")
	}
	tb.look("offline")

	pass := tb.intercept("*wait=*", hang)
	w.mend()
	tb.line(-1, false)
	for _, name := range names {
		tb.says(name, "Processing")
	}
	tb.look("processing")
	pass()
	for _, name := range names {
		tb.turned(name)
	}
	tb.look("done")

	id := tb.idOf("dunes at dusk.jpg")
	tb.visit("#view=" + id)
	tb.until("the result shows", `document.querySelector('#stage .after').naturalWidth > 0`)
	tb.look("view")
	other := openTab(t, f.url)
	other.visit("#view=" + id)
	other.until("the result shows", `document.querySelector('#stage .after').naturalWidth > 0`)
	other.look("view-visitor")
	other.visit("#upload=" + otherID(id))
	other.look("upload")
	other.visit("#view=" + id[:20])
	other.look("link-broken")
	other.breaks()
	other.visit("#view=" + otherID(id))
	other.until("the link says so", `stage.innerText.includes('There is no photo')`)
	other.look("link-gone")
}

func TestRefusedStates(t *testing.T) {
	t.Parallel()
	f := sharedFleet(t)
	tb := openTab(t, f.url)
	tb.breaks()
	tb.pick(
		heavyFile(t, "large.jpg", 23<<20),
		write(t, "notes.txt", []byte("no photo")),
		hugePNG(t, "panorama.png", 10_000, 6_000),
		truncatedFile(t, "half.png"),
	)
	tb.says("half.png", ".")
	tb.until("the half photo has failed", card("half.png")+`?.dataset.stage === 'failed'`)
	tb.look("refused")

	tb.click("notes.txt", "remove")
	tb.look("removed")

	tb.intercept("*/upload", func(*network.Request) *fetch.FulfillRequestParams {
		return problem(503, "Busy.", "Retry-After", "60")
	})
	tb.pick(jpegFile(t, "patient.jpg", 600, 400, 3))
	tb.says("patient.jpg", "busy")
	tb.look("busy")
}

// What a reload finds when the browser threw the bytes away, and after a line that was too slow.
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
	tb.says("thrown away.jpg", "no longer has")
	tb.look("interrupted")
}
