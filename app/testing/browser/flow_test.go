package browser

import (
	"context"
	"image"
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

	"imagery/app/client"
)

func TestThreePhotos(t *testing.T) {
	t.Parallel()
	f := sharedFleet(t)
	t.Run("localhost", func(t *testing.T) { threePhotos(t, openTab(t, f.url), true) })
	t.Run("foreign host", func(t *testing.T) { threePhotos(t, openTab(t, f.foreignURL()), false) })
	t.Run("results from a bucket", func(t *testing.T) {
		onAWS := cloudFleet(t)
		tb := openTab(t, onAWS.foreignURL())
		tb.bucket = onAWS.bucket
		threePhotos(t, tb, false)
		if tb.results() < 3 {
			t.Error("the photos did not come from the bucket")
		}
	})
}

// threePhotos tests the usual way, from the selection to the download.
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
	tb.setNetwork(60_000, false)
	tb.pick(files...)
	for _, name := range names {
		tb.until("preview of "+name, card(name)+`?.querySelector('.before').naturalWidth > 0`)
	}
	tb.awaitText("one.jpg", `^Sending, [1-9]\d? %$`)
	tb.setNetwork(-1, false)
	for _, name := range names {
		tb.awaitText(name, "^(Queued|Processing|Done)")
		tb.awaitResult(name)
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

// compares moves the comparison line of the first photo by keyboard.
func (tb *tab) compares() {
	tb.t.Helper()
	slider := `#prints .slider`
	tb.until("the comparison is offered",
		`document.querySelector('`+slider+`').checkVisibility({visibilityProperty: true})`)
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
	if got := tb.clipboard(); got != want {
		tb.t.Errorf("the clipboard has %q, want %q", got, want)
	}
}

// downloads follows the first photo's link, and waits for the file with the name that the server gives it.
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

// clipboard returns the content of the clipboard, by pasting it into a field.
func (tb *tab) clipboard() string {
	tb.t.Helper()
	tb.run(`document.body.append(Object.assign(document.createElement('textarea'), {id: 'pasted'})), pasted.focus()`)
	call(tb, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown,
		Commands: []string{"paste"}})
	return eval[string](tb, `pasted.value`)
}

func TestDropAndPaste(t *testing.T) {
	t.Parallel()
	tb := openTab(t, sharedFleet(t).url)
	dropped := jpegFile(t, "dropped.jpg", 300, 200, 1)
	data := &input.DragData{Items: []*input.DragDataItem{}, Files: []string{dropped}, DragOperationsMask: 1}
	for _, kind := range []input.DispatchDragEventType{"dragEnter", "dragOver", "drop"} {
		// Beside the tray, because the whole window accepts drops.
		call(tb, input.DispatchDragEvent, input.DispatchDragEventParams{Type: kind, X: 20, Y: 20, Data: data})
	}
	tb.awaitResult("dropped.jpg")

	tb.run(`(async () => {
		const blob = await (await fetch(document.querySelector('#prints .after').src)).blob();
		const clipboardData = new DataTransfer();
		clipboardData.items.add(new File([blob], 'pasted.jpg', {type: 'image/jpeg'}));
		dispatchEvent(new ClipboardEvent('paste', {clipboardData}));
	})()`)
	tb.awaitResult("pasted.jpg")
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

// A frozen tab gets no events, and its connections may be dead when it is resumed: it must ask again by itself.
func TestAsleep(t *testing.T) {
	t.Parallel()
	f := ownFleet(t)
	w := newTCPProxy(t, f)
	tb := openTab(t, w.url)
	release := f.pauseWorkers(t)
	tb.pick(jpegFile(t, "sleepy.jpg", 300, 200, 1))
	tb.awaitText("sleepy.jpg", "^Processing")
	call(tb, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: "frozen"})
	w.stall()
	release()
	f.awaitProcessed(t, tb.idOf("sleepy.jpg"))
	if text := eval[string](tb, cardText("sleepy.jpg")); text != "Processing" {
		t.Fatalf("asleep, and still it says %q", text)
	}
	woken := time.Now()
	call(tb, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: "active"})
	tb.awaitText("sleepy.jpg", "^Done")
	if took := time.Since(woken); took > 10*time.Second {
		t.Errorf("noticed %v after it woke up: the dead poll was waited for", took)
	}
}

// awaitProcessed waits until the fleet has finished the image.
func (f *fleet) awaitProcessed(t *testing.T, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	if img, err := client.New(f.url).Wait(ctx, client.Image{ID: id, Version: 1}); err != nil || img.State != "processed" {
		t.Fatalf("never processed: %+v, %v", img, err)
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
