package browser

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"imagery/app/client"
	"imagery/app/imagery"
)

func TestLinks(t *testing.T) {
	t.Parallel()
	f := sharedFleet(t)
	tb := openTab(t, f.url)
	tb.expectNetworkErrors() // unknown links are answered with 404
	img, err := client.New(f.url).Create(t.Context(), imagery.NewID())
	if err != nil {
		t.Fatal(err)
	}
	id := img.ID

	tb.visit("#view=" + id)
	tb.until("an empty link says so", `stage.innerText.includes('No photo has been sent')`)
	tb.run(`document.querySelector('#stage .refill').click()`)
	tb.until("the upload page", `location.hash === '#upload=`+id+`' && document.title.includes('`+id+`')`)
	tb.pick(jpegFile(t, "prepared.jpg", 300, 200, 1))
	tb.until("the page of the photo", `location.hash === '#view=`+id+`'`)
	tb.until("the result", `document.querySelector('#stage .after').naturalWidth === 300`)
	if title := eval[string](tb, `document.title`); !strings.Contains(title, id) ||
		!strings.Contains(title, "prepared.jpg") {
		t.Errorf("title %q", title)
	}

	visitor := openTab(t, f.foreignURL())
	visitor.expectNetworkErrors()
	visitor.visit("#view=" + strings.ToUpper(id))
	visitor.until("the result for anyone", `document.querySelector('#stage .after').naturalWidth === 300`)
	if eval[bool](visitor, `document.querySelector('#stage .print').classList.contains('comparable')`) {
		t.Error("a visitor is offered a comparison with an original that only its owner has")
	}
	visitor.visit("#upload=" + id)
	visitor.pick(jpegFile(t, "other.jpg", 300, 200, 2))
	visitor.until("other bytes are refused", `stage.innerText.includes('another photo')`)

	visitor.visit("#view=" + otherID(id))
	visitor.until("an unknown link says so", `stage.innerText.includes('There is no photo')`)
	visitor.visit("#view=" + id[:30])
	visitor.until("half a link says so", `document.querySelector('[data-for=broken]').checkVisibility()`)
	visitor.do(chromedp.NavigateBack())
	visitor.until("back again", `stage.innerText.includes('There is no photo')`)
}

// otherID returns a valid id of no image.
func otherID(id string) string {
	if id[35] == '0' {
		return id[:35] + "1"
	}
	return id[:35] + "0"
}

func TestRemoveAndUndo(t *testing.T) {
	t.Parallel()
	tb := openTab(t, sharedFleet(t).url)
	tb.pick(jpegFile(t, "kept.jpg", 300, 200, 1), jpegFile(t, "away.jpg", 300, 200, 2))
	tb.awaitResult("kept.jpg")
	tb.awaitResult("away.jpg")
	tb.click("kept.jpg", "remove")
	tb.until("it is gone", "!"+card("kept.jpg"))
	tb.run(`undo.click()`)
	tb.awaitResult("kept.jpg")
	tb.click("away.jpg", "remove")
	tb.until("it is gone, too", "!"+card("away.jpg"))
	tb.reload()
	tb.awaitResult("kept.jpg")
	tb.until("with its copy", card("kept.jpg")+`.classList.contains('comparable')`)
	if eval[bool](tb, "Boolean("+card("away.jpg")+")") {
		t.Error("a removed photo is back after a reload")
	}
}

func TestReloadWhileSending(t *testing.T) {
	t.Parallel()
	tb := openTab(t, sharedFleet(t).foreignURL())
	tb.setNetwork(200_000, false)
	tb.pick(heavyFile(t, "heavy.jpg", 2<<20))
	tb.awaitText("heavy.jpg", `^Sending, [1-9]\d? %$`)
	id := tb.idOf("heavy.jpg")
	tb.reload()
	tb.awaitText("heavy.jpg", "^Sending") // by itself, still slow
	tb.setNetwork(-1, false)
	tb.awaitResult("heavy.jpg")
	if now := tb.idOf("heavy.jpg"); now != id {
		t.Errorf("sent under %s after the reload, and %s before", now, id)
	}
	tb.until("its own copy is still there to compare",
		`document.querySelector('#prints .print').classList.contains('comparable')`)
	tb.until("the bytes are forgotten", `new Promise(done => {
		indexedDB.open('imagery').onsuccess = e =>
			e.target.result.transaction('blobs').objectStore('blobs').getAllKeys().onsuccess =
			keys => done(keys.target.result.every(([, kind]) => kind === 'copy'))
	})`)
}

// Stopped workers process no photo, so the page must wait, reload, and share two polls among five photos.
func TestReloadWhileProcessing(t *testing.T) {
	t.Parallel()
	f := ownFleet(t)
	tb := openTab(t, f.url)
	release := f.pauseWorkers(t)
	var files, names []string
	for i := range 5 {
		names = append(names, fmt.Sprintf("photo%d.jpg", i))
		files = append(files, jpegFile(t, names[i], 300, 200, float64(i)))
	}
	tb.pick(files...)
	for _, name := range names {
		tb.awaitText(name, "^(Queued|Processing)")
	}
	tb.reload()
	for _, name := range names {
		tb.awaitText(name, "^(Queued|Processing)")
		id := tb.idOf(name)
		for end := time.Now().Add(waitTimeout); tb.count("GET", "/image/"+id) == 0; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s never had its turn", name)
			}
		}
	}
	release()
	for _, name := range names {
		tb.awaitResult(name)
	}
	if n := tb.count("POST", "/upload"); n != 5 {
		t.Errorf("%d uploads for 5 photos", n)
	}
}
