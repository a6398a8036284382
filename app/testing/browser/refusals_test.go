package browser

import (
	"path/filepath"
	"strings"
	"testing"
)

// A photo that the server refuses after its first bytes is explained before the rest is sent.
func TestRefusedEarly(t *testing.T) {
	t.Parallel()
	tb := openTab(t, sharedFleet(t).url)
	tb.expectNetworkErrors()
	tb.setNetwork(400_000, false)
	noHeader := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"), "and then nothing that makes sense"...)
	tb.pick(pad(t, write(t, "bad.png", noHeader), 12<<20))
	tb.awaitText("bad.png", "^Not sent. This photo")
	if n := tb.count("POST", "/upload"); n != 1 {
		t.Errorf("%d uploads of a photo that was refused", n)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	tb := openTab(t, sharedFleet(t).url)
	tb.expectNetworkErrors()
	heic := append([]byte{0, 0, 0, 24}, "ftypheic0000"...)
	here := []struct{ file, says string }{
		{heavyFile(t, "large.jpg", 20<<20+1), "20.1 MB; up to 20 MB"},
		{write(t, "empty.jpg", nil), "empty"},
		{write(t, "notes.txt", []byte("no photo")), "not a photo in a supported format: .*HEIC or AVIF"},
		{hugePNG(t, "panorama.png", 10_000, 5_001), "50.1 million; up to 50 million"},
	}
	// Only the server knows what is wrong with these.
	there := []struct{ file, says string }{
		{write(t, "notes.jpg", []byte("no photo")), "^Not sent"},
		{write(t, "drawing.svg", []byte("<svg xmlns='http://www.w3.org/2000/svg'/>")), "^Not sent"},
		{write(t, "scan.tif", []byte("II*\x00\x08\x00\x00\x00 and no directory")), "^Not sent"},
		{write(t, "phone.heic", heic), "^Not sent"},
		{write(t, "header.jpg", []byte("\xff\xd8\xff\xe0 and then nothing that makes sense")), "^Not sent"},
		{truncatedFile(t, "half.png"), "."},
	}
	var files []string
	for _, c := range append(here, there...) {
		files = append(files, c.file)
	}
	tb.pick(append(files, jpegFile(t, "good.jpg", 300, 200, 1))...)
	for _, c := range append(here, there...) {
		tb.awaitText(filepath.Base(c.file), c.says)
	}
	tb.until("the half photo has failed", card("half.png")+`.dataset.stage === 'failed'`)
	tb.awaitResult("good.jpg")
	if n := tb.count("POST", "/upload"); n != len(there)+1 {
		t.Errorf("%d uploads, want %d: good.jpg and those that the server judges", n, len(there)+1)
	}

	tb.run(card("half.png") + `.querySelector('.refill').click()`)
	tb.until("another photo may be sent there", `document.body.dataset.route === 'upload'`)
	tb.pick(jpegFile(t, "whole.jpg", 300, 200, 2))
	tb.until("and is turned", `document.querySelector('#stage .after')?.naturalWidth === 300`)
}

// Page and server have the same limit.
func TestMaxPixels(t *testing.T) {
	t.Parallel()
	tb := openTab(t, ownFleet(t, "-max-pixels", "600000").url)
	if says := eval[string](tb, `document.querySelector('.tray').innerText`); !strings.Contains(says, "0.6 megapixels") {
		t.Errorf("the page says %q", says)
	}
	tb.pick(jpegFile(t, "equal.jpg", 1000, 600, 1), jpegFile(t, "above.jpg", 1000, 601, 1))
	tb.awaitText("above.jpg", "1,000 × 601 pixels.*up to 0.6 million")
	tb.awaitResult("equal.jpg")
	if n := tb.count("POST", "/upload"); n != 1 {
		t.Errorf("%d uploads, want only that of equal.jpg", n)
	}
}
