package browser

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"imagery/app/client"
)

// panelPaths are the paths that the fleet's page may request.
var panelPaths = regexp.MustCompile(`^/_fleet(|\.json|/[a-z]+\.(js|css|svg)|/kill/[a-z]+-[0-9])$`)

// openPanel opens the fleet's page, and waits for its processes.
func openPanel(t *testing.T, f *fleet) *tab {
	t.Helper()
	tb := newTab(t, f.url, chromedp.WithNewBrowserContext())
	tb.allowed = panelPaths
	tb.do(chromedp.Navigate(f.url + "/_fleet"))
	tb.until("two servers and two workers are ready", `(names => names === 'server-1 server-2 worker-1 worker-2')(
		[...document.querySelectorAll('#processes tr')]
			.filter(tr => tr.cells[1].textContent === 'ready')
			.map(tr => tr.cells[0].textContent).join(' '))`)
	return tb
}

// slowPhoto makes a photo that takes long to process, and little time to make and to send.
func slowPhoto(t *testing.T, name string) string {
	t.Helper()
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b,
		image.NewGray(image.Rect(0, 0, 6000, 5000))); err != nil {
		t.Fatal(err)
	}
	return write(t, name, b.Bytes())
}

// stopBusyWorker waits until a worker is processing a photo, and stops the worker.
func (f *fleet) stopBusyWorker(t *testing.T) (name string) {
	t.Helper()
	for end := time.Now().Add(waitTimeout); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		r, err := http.Get(f.url + "/_fleet.json")
		if err != nil {
			t.Fatal(err)
		}
		var state struct {
			Processes []struct {
				Name, Role    string
				PID, InFlight int
			}
		}
		err = json.NewDecoder(r.Body).Decode(&state)
		r.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range state.Processes {
			if p.Role == "worker" && p.InFlight > 0 {
				if err := syscall.Kill(p.PID, syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
				return p.Name
			}
		}
	}
	t.Fatal("no worker processed a photo")
	return ""
}

// A user kills a worker that is processing a photo, sees its replacement, and every photo is processed.
func TestFleetStates(t *testing.T) {
	t.Parallel()
	f := ownFleet(t, "-visibility", "2s")
	panel := openPanel(t, f)
	photos := openTab(t, f.url)
	names := []string{"first.png", "second.png", "third.png", "fourth.png", "fifth.png"}
	long := slowPhoto(t, "long.png")
	var files []string
	for _, name := range names {
		file := filepath.Join(t.TempDir(), name)
		if err := os.Link(long, file); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	photos.pick(files...)
	worker := f.stopBusyWorker(t)
	panel.run(fmt.Sprintf(`killed = [...document.querySelectorAll('#processes tr')]
			.find(tr => tr.cells[0].textContent === %q),
		pid = killed.cells[2].textContent, killed.querySelector('button').click()`, worker))
	panel.until("its restart is counted", `killed.cells[4].textContent === '1'`)
	panel.until("another process is in its place",
		`killed.cells[1].textContent === 'ready' && killed.cells[2].textContent !== pid`)
	panel.until("and it was said", fmt.Sprintf(`news.textContent === '%s was killed.'`, worker))
	for _, name := range names {
		photos.awaitResult(name)
	}
	panel.until("nothing is left to do",
		`[visible, inFlight, deadLetters].every(dd => dd.textContent === '0') && oldest.textContent === 'none'`)
	if eval[bool](panel, `alarm.checkVisibility()`) {
		t.Error("an alarm without a dead letter")
	}
	panel.checkState("fleet")
	panel.expectNetworkErrors()
	if err := syscall.Kill(f.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	panel.until("the page says that the fleet is gone", `news.textContent === 'The fleet does not answer.'`)
}

// A photo that kills every worker becomes a dead letter, which the fleet's page shows as an alarm.
func TestFleetAlarmStates(t *testing.T) {
	t.Parallel()
	const id = "6a0e2a4e-5b3c-4b9a-8a77-0f6d3c1b2a90"
	f := ownFleet(t, "-failpoint", "mid-filter@"+id, "-visibility", "1s", "-max-receives", "1", "-resend-after", "3s")
	panel := openPanel(t, f)
	if _, err := client.New(f.url).Create(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	photos := openTab(t, f.url)
	photos.visit("#upload=" + id)
	photos.pick(jpegFile(t, "poison.jpg", 300, 200, 1))
	panel.until("the alarm shows", `alarm.checkVisibility() && alarm.textContent.includes('1 dead letter')`)
	panel.until("and a worker was restarted",
		`[...document.querySelectorAll('#processes tr')].some(tr => tr.cells[4].textContent === '1')`)
	panel.checkState("fleet-alarm")
	photos.until("the photo says why", `stage.innerText.includes('attempt')`)
}
