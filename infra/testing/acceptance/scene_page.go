package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// browsers are the names under which Chromium may be in PATH.
var browsers = []string{"chromium", "chromium-browser", "google-chrome"}

// photosOfPage are given to the page. They are files of the checkout.
var photosOfPage = []string{"lake.png", "phone.jpg"}

// pageTimeout bounds everything that the browser does.
const pageTimeout = 2 * time.Minute

// usePage opens the page at the load balancer's URL in a browser, gives it photos and waits for them.
func usePage(ctx context.Context, t *T) error {
	path := ""
	for _, name := range browsers {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		return skipError("no Chromium is in PATH")
	}
	profile, err := os.MkdirTemp(t.work, "browser")
	if err != nil {
		return err
	}
	defer os.RemoveAll(profile)
	opts := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.UserDataDir(profile),
		chromedp.WindowSize(1200, 1000)}
	for _, name := range []string{"headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-dev-shm-usage",
		"disable-background-networking", "hide-scrollbars"} {
		opts = append(opts, chromedp.Flag(name, true))
	}
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	alloc, stop := chromedp.NewExecAllocator(ctx, opts...)
	defer stop()
	tab, closeTab := chromedp.NewContext(alloc, chromedp.WithErrorf(func(string, ...any) {}))
	defer closeTab()
	var files []string
	for _, name := range photosOfPage {
		files = append(files, filepath.Join(t.checkout, "app/admin/smoke/pictures", name))
	}
	if err := chromedp.Do(tab, chromedp.Navigate(t.current.URL+"/")); err != nil {
		return fmt.Errorf("open the page: %w", err)
	}
	if err := shows(tab, `document.body.classList.contains('ready')`); err != nil {
		return err
	}
	begun := time.Now()
	if err := chromedp.Do(tab, chromedp.SetUploadFiles(chromedp.ID("pick"), files, chromedp.NodeReady)); err != nil {
		return fmt.Errorf("give the page photos: %w", err)
	}
	for _, name := range photosOfPage {
		card := fmt.Sprintf(`[...document.querySelectorAll('#prints .print')].find(
			p => p.querySelector('.name').textContent === %q)`, name)
		if err := shows(tab, `/^Done/.test(`+card+`?.querySelector('.words').textContent) && (`+card+
			`.scrollIntoView(), `+card+`.querySelector('.after').naturalWidth > 0)`); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	took := time.Since(begun)
	if err := chromedp.Do(tab, chromedp.Sleep(time.Second)); err != nil { // until the animation has ended
		return err
	}
	shot, err := chromedp.Call(tab, page.CaptureScreenshot, page.CaptureScreenshotParams{})
	if err != nil {
		return fmt.Errorf("take a screenshot: %w", err)
	}
	file := filepath.Join(t.work, "page.png")
	if err := os.WriteFile(file, shot.Data, 0o644); err != nil {
		return err
	}
	t.figure("%d photos were given to the page and shown again as sepia within %.1f s", len(files), took.Seconds())
	t.logf("%s: the screenshot is %s", t.scene, file)
	return nil
}

// shows waits until an expression is true in the page.
func shows(tab context.Context, expression string) error {
	for {
		ok, err := chromedp.Run(tab, chromedp.Evaluate[bool]("Boolean("+expression+")", chromedp.EvalAwaitPromise))
		if ok && err == nil {
			return nil
		}
		select {
		case <-tab.Done():
			return fmt.Errorf("the page never got to %s: %w", expression, tab.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
