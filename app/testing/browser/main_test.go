package browser

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"imagery/app/testing/short"
)

// shots is the folder for screenshots of every state; empty means none.
var shots = flag.String("screenshots", "", "folder for a picture of every state of the pages")

// foreignHost resolves to this machine, but is not localhost: over plain HTTP the browser disables what needs a secure
// context, as behind a load balancer without a certificate.
const foreignHost = "imagery.test"

// parallelTests sets how many tests run at the same time, unless -parallel says otherwise. They wait for slow
// connections and for pauses of the page more than they use a processor.
const parallelTests = "5"

func TestMain(m *testing.M) {
	short.Main("the pages in a browser")
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", parallelTests); err != nil {
			panic(err) // the testing package has this flag
		}
	}
	code := m.Run()
	if stopBrowser != nil {
		stopBrowser()
	}
	if shared.stop != nil {
		shared.stop()
	}
	if built != "" {
		os.RemoveAll(filepath.Dir(built))
	}
	os.Exit(code)
}

// skipUnless skips when a tool that a machine may lack is missing, and fails instead when REQUIRE_ALL=1.
func skipUnless(t *testing.T, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("REQUIRE_ALL") == "1":
		t.Fatal(err)
	default:
		t.Skip("SKIPPED, REQUIRE_ALL=1 makes this a failure: ", err)
	}
}

var built string // the binary, if this run built it

// program is the binary under test, built once per run.
var program = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("IMAGERY_BINARY"); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "browser")
	if err != nil {
		return "", err
	}
	built = filepath.Join(dir, "imagery")
	out, err := exec.Command("go", "build", "-o", built, "imagery/app").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return built, nil
})

var stopBrowser func()

// browser starts the Chromium of this run. Every tab gets a profile of its own, so tests share no storage. It can reach
// this machine only: other names do not resolve.
var browser = sync.OnceValues(func() (context.Context, error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return nil, err
	}
	profile, err := os.MkdirTemp("", "browser-profile")
	if err != nil {
		return nil, err
	}
	opts := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.UserDataDir(profile)}
	for _, name := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
		"disable-component-update", "disable-sync", "disable-dev-shm-usage", "hide-scrollbars",
		"disable-background-timer-throttling", "disable-renderer-backgrounding", "disable-backgrounding-occluded-windows",
	} {
		opts = append(opts, chromedp.Flag(name, true))
	}
	opts = append(opts,
		chromedp.Flag("host-resolver-rules", "MAP "+foreignHost+" 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Flag("force-color-profile", "srgb"))
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(alloc, chromedp.WithErrorf(func(string, ...any) {}))
	stopBrowser = func() {
		cancel()
		stop()
		os.RemoveAll(profile)
	}
	if err := chromedp.Do(ctx); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return ctx, nil
})
