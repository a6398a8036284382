package browser

import (
	"fmt"
	"image"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	browserdomain "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

func TestThreePhotos(t *testing.T) {
	t.Parallel()
	f := sharedFleet(t)
	t.Run("localhost", func(t *testing.T) { threePhotos(t, openTab(t, f.url), true) })
	t.Run("foreign host", func(t *testing.T) { threePhotos(t, openTab(t, f.foreign()), false) })
	t.Run("results from a bucket", func(t *testing.T) {
		onAWS := cloudFleet(t)
		tb := openTab(t, onAWS.foreign())
		tb.bucket = onAWS.bucket
		threePhotos(t, tb, false)
		if tb.results() < 3 {
			t.Error("the photos did not come from the bucket")
		}
	})
}

// threePhotos is the happy path, from the pick to the download.
func threePhotos(t *testing.T, tb *tab, secure bool) {
	t.Helper()
	if got := eval[bool](tb, `isSecureContext`); got != secure {
		t.Fatalf("secure context: %v, want %v", got, secure)
	}
	names := []string{"one.jpg", "two.jpg", "three.jpg"}
	var files []string
	for i, name := range names {
		files = append(files, jpegFile(t, name, 640, 480, float64(i)))
	}
	tb.line(60_000, false)
	tb.pick(files...)
	for _, name := range names {
		tb.until("preview of "+name, card(name)+`?.querySelector('.before').naturalWidth > 0`)
	}
	tb.says("one.jpg", `^Sending, [1-9]\d? %$`)
	tb.line(-1, false)
	for _, name := range names {
		tb.says(name, "^(Queued|Processing|Done)")
		tb.turned(name)
	}

	tb.compares()
	tb.copiesLink()
	tb.downloads()
	if got := eval[string](tb, `log.textContent`); !strings.Contains(got, "two.jpg: Done") {
		t.Errorf("the live region says %q", got)
	}
	if n := tb.count("POST", "/upload"); n != 3 {
		t.Errorf("%d uploads for 3 photos", n)
	}
}

// compares moves the line of the first photo by keyboard.
func (tb *tab) compares() {
	tb.t.Helper()
	slider := `#prints .slider`
	tb.until("the comparison is offered", `document.querySelector('`+slider+`').checkVisibility({visibilityProperty: true})`)
	tb.do(chromedp.Focus(chromedp.CSS(slider), chromedp.NodeReady), chromedp.KeyEvent(kb.ArrowRight+kb.ArrowRight))
	if at := eval[string](tb, `document.querySelector('#prints .picture').style.getPropertyValue('--at')`); at != "52%" {
		tb.t.Errorf("the line stands at %q after two steps to the right of the middle", at)
	}
}

func (tb *tab) copiesLink() {
	tb.t.Helper()
	tb.do(chromedp.Click(chromedp.CSS(`#prints .copy`)))
	tb.until("the link is copied", `document.querySelector('#toast-text').textContent === 'Link copied'`)
	want := tb.base + "/#view=" + eval[string](tb, `document.querySelector('#prints .open').hash.slice(6)`)
	if got := tb.pasted(); got != want {
		tb.t.Errorf("the clipboard has %q, want %q", got, want)
	}
}

// downloads follows the first photo's link, and waits for the file under the name that the server gives it.
func (tb *tab) downloads() {
	tb.t.Helper()
	dir := tb.t.TempDir()
	call(tb, browserdomain.SetDownloadBehavior, browserdomain.SetDownloadBehaviorParams{
		Behavior: browserdomain.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir,
		BrowserContextID: chromedp.FromContext(tb.ctx).BrowserContextID,
	})
	id := eval[string](tb, `document.querySelector('#prints .open').hash.slice(6)`)
	tb.do(chromedp.Click(chromedp.CSS(`#prints .download`)))
	var photo image.Config
	for end := time.Now().Add(waitTimeout); photo.Width == 0; time.Sleep(40 * time.Millisecond) {
		if time.Now().After(end) {
			found, _ := os.ReadDir(dir)
			tb.t.Fatalf("no photo was downloaded: %v", found)
		}
		if f, err := os.Open(filepath.Join(dir, id+".jpg")); err == nil {
			photo, _, _ = image.DecodeConfig(f)
			f.Close()
		}
	}
	if photo.Width != 640 || photo.Height != 480 {
		tb.t.Errorf("the downloaded photo has %d x %d pixels", photo.Width, photo.Height)
	}
}

// results counts the photos that came from the bucket.
func (tb *tab) results() int {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	n := 0
	for _, r := range tb.requests {
		if strings.HasPrefix(r.url, tb.bucket+"/") && r.status == http.StatusOK {
			n++
		}
	}
	return n
}

// pasted is what the clipboard holds, as a paste into a field shows it.
func (tb *tab) pasted() string {
	tb.t.Helper()
	tb.run(`document.body.append(Object.assign(document.createElement('textarea'), {id: 'pasted'})), pasted.focus()`)
	call(tb, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Commands: []string{"paste"}})
	return eval[string](tb, `pasted.value`)
}

func TestDropAndPaste(t *testing.T) {
	t.Parallel()
	tb := openTab(t, sharedFleet(t).url)
	dropped := jpegFile(t, "dropped.jpg", 300, 200, 1)
	data := &input.DragData{Items: []*input.DragDataItem{}, Files: []string{dropped}, DragOperationsMask: 1}
	for _, kind := range []input.DispatchDragEventType{"dragEnter", "dragOver", "drop"} {
		// Beside the tray: the whole window takes drops.
		call(tb, input.DispatchDragEvent, input.DispatchDragEventParams{Type: kind, X: 20, Y: 20, Data: data})
	}
	tb.turned("dropped.jpg")

	tb.run(`(async () => {
		const blob = await (await fetch(document.querySelector('#prints .after').src)).blob();
		const clipboardData = new DataTransfer();
		clipboardData.items.add(new File([blob], 'pasted.jpg', {type: 'image/jpeg'}));
		dispatchEvent(new ClipboardEvent('paste', {clipboardData}));
	})()`)
	tb.turned("pasted.jpg")
}

func TestReloadWhileSending(t *testing.T) {
	t.Parallel()
	tb := openTab(t, sharedFleet(t).foreign())
	tb.line(200_000, false)
	tb.pick(heavyFile(t, "heavy.jpg", 2<<20))
	tb.says("heavy.jpg", `^Sending, [1-9]\d? %$`)
	id := tb.idOf("heavy.jpg")
	tb.reload()
	tb.says("heavy.jpg", "^Sending") // by itself, still slow
	tb.line(-1, false)
	tb.turned("heavy.jpg")
	if now := tb.idOf("heavy.jpg"); now != id {
		t.Errorf("sent under %s after the reload, and %s before", now, id)
	}
	tb.until("its own copy is still there to compare", `document.querySelector('#prints .print').classList.contains('comparable')`)
	tb.until("the bytes are forgotten", `new Promise(done => {
		indexedDB.open('imagery').onsuccess = e => e.target.result.transaction('blobs').objectStore('blobs').getAllKeys().onsuccess =
			keys => done(keys.target.result.every(([, kind]) => kind === 'copy'))
	})`)
}

// Workers that are stopped take no photo, so the page has to wait, reload, and share two polls among five photos.
func TestReloadWhileProcessing(t *testing.T) {
	t.Parallel()
	f := ownFleet(t)
	tb := openTab(t, f.url)
	release := f.hold(t)
	var files, names []string
	for i := range 5 {
		names = append(names, fmt.Sprintf("photo%d.jpg", i))
		files = append(files, jpegFile(t, names[i], 300, 200, float64(i)))
	}
	tb.pick(files...)
	for _, name := range names {
		tb.says(name, "^(Queued|Processing)")
	}
	tb.reload()
	for _, name := range names {
		tb.says(name, "^(Queued|Processing)")
		id := tb.idOf(name)
		for end := time.Now().Add(waitTimeout); tb.count("GET", "/image/"+id) == 0; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s never had its turn", name)
			}
		}
	}
	release()
	for _, name := range names {
		tb.turned(name)
	}
	if n := tb.count("POST", "/upload"); n != 5 {
		t.Errorf("%d uploads for 5 photos", n)
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	f := sharedFleet(t)
	tb := openTab(t, f.url)
	tb.breaks() // unknown links are answered with 404
	r, err := http.Post(f.url+"/image", "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	id := strings.TrimPrefix(r.Header.Get("Location"), "/image/")

	tb.visit("#view=" + id)
	tb.until("an empty link says so", `stage.innerText.includes('No photo has been sent')`)
	tb.run(`document.querySelector('#stage .refill').click()`)
	tb.until("the upload page", `location.hash === '#upload=`+id+`' && document.title.includes('`+id+`')`)
	tb.pick(jpegFile(t, "prepared.jpg", 300, 200, 1))
	tb.until("the page of the photo", `location.hash === '#view=`+id+`'`)
	tb.until("the result", `document.querySelector('#stage .after').naturalWidth === 300`)
	if title := eval[string](tb, `document.title`); !strings.Contains(title, id) || !strings.Contains(title, "prepared.jpg") {
		t.Errorf("title %q", title)
	}

	visitor := openTab(t, f.foreign())
	visitor.breaks()
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

// otherID is a well-formed id under which nothing is kept.
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
	tb.turned("kept.jpg")
	tb.turned("away.jpg")
	tb.click("kept.jpg", "remove")
	tb.until("it is gone", "!"+card("kept.jpg"))
	tb.run(`undo.click()`)
	tb.turned("kept.jpg")
	tb.click("away.jpg", "remove")
	tb.until("it is gone, too", "!"+card("away.jpg"))
	tb.reload()
	tb.turned("kept.jpg")
	tb.until("with its copy", card("kept.jpg")+`.classList.contains('comparable')`)
	if eval[bool](tb, "Boolean("+card("away.jpg")+")") {
		t.Error("a removed photo is back after a reload")
	}
}

func TestKeyboard(t *testing.T) {
	t.Parallel()
	tb := openTab(t, sharedFleet(t).url)
	var got []string
	for range 3 {
		tb.do(chromedp.KeyEvent(kb.Tab))
		got = append(got, eval[string](tb, `document.activeElement.id || document.activeElement.className`))
	}
	if want := "brand demo pick"; strings.Join(got, " ") != want {
		t.Errorf("focus goes %v, want %s", got, want)
	}
	if !eval[bool](tb, `getComputedStyle(pick.parentElement).outlineStyle === 'solid'`) {
		t.Error("the focused picker shows no outline")
	}
}

func TestWithoutScripts(t *testing.T) {
	t.Parallel()
	f := sharedFleet(t)
	tb := openTab(t, f.url)
	call(tb, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	tb.do(chromedp.Navigate(f.url + "/?"))
	text, err := chromedp.Run(tb.ctx, chromedp.Text(chromedp.CSS("body")))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, "needs JavaScript") || !strings.Contains(text, "curl") {
		t.Errorf("without scripts the page says %q", text)
	}
}

// A tab that sleeps hears nothing, and its connections may be dead when it wakes up: it has to ask anew by itself.
func TestAsleep(t *testing.T) {
	t.Parallel()
	f := ownFleet(t)
	w := newWire(t, f)
	tb := openTab(t, w.url)
	release := f.hold(t)
	tb.pick(jpegFile(t, "sleepy.jpg", 300, 200, 1))
	tb.says("sleepy.jpg", "^Processing")
	call(tb, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: "frozen"})
	w.deafen()
	release()
	f.processed(t, tb.idOf("sleepy.jpg"))
	if text := eval[string](tb, said("sleepy.jpg")); text != "Processing" {
		t.Fatalf("asleep, and still it says %q", text)
	}
	woken := time.Now()
	call(tb, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: "active"})
	tb.says("sleepy.jpg", "^Done")
	if took := time.Since(woken); took > 10*time.Second {
		t.Errorf("noticed %v after it woke up: the dead poll was waited for", took)
	}
}

// processed waits until the fleet has finished the image.
func (f *fleet) processed(t *testing.T, id string) {
	t.Helper()
	for end := time.Now().Add(waitTimeout); ; {
		r, err := http.Get(f.url + "/image/" + id + "?wait=1s")
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if strings.Contains(string(b), `"processed"`) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("never processed: %s", b)
		}
	}
}

func TestSize(t *testing.T) {
	files, err := filepath.Glob("../../server/web/*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	total := int64(0)
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total >= 60_000 {
		t.Errorf("the page has %d bytes, want less than 60,000", total)
	}
}
