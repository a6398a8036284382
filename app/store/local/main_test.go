package local_test

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"imagery/app/store/local"
	"imagery/app/testing/conformance"
)

// A process of the test binary with one of these variables is a child process of a test and works on that data folder.
const (
	servePorts  = "LOCAL_TEST_SERVE"   // serves the ports on its standard input and output
	prepareOnly = "LOCAL_TEST_PREPARE" // prepares and opens the folder
	produce     = "LOCAL_TEST_PRODUCE" // see crash_test.go
	consume     = "LOCAL_TEST_CONSUME"
	visibility  = "LOCAL_TEST_VISIBILITY" // a duration, for all of them
	maxReceives = "LOCAL_TEST_MAX_RECEIVES"
)

func TestMain(m *testing.M) {
	for name, run := range map[string]func(dir string) error{
		servePorts: serve, prepareOnly: prepare, produce: runProducer, consume: runConsumer,
	} {
		if dir := os.Getenv(name); dir != "" {
			if err := run(dir); err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // most tests wait for the disk or the clock
	os.Exit(m.Run())
}

func serve(dir string) error {
	s, err := openChild(dir)
	if err != nil {
		return err
	}
	err = conformance.Serve(conformance.Ports{Catalog: s.Catalog(), Queue: s.Queue(), DeadLetters: s.DeadLetters()})
	if err != nil {
		return err
	}
	return s.Close()
}

func prepare(dir string) error {
	if err := local.Prepare(dir); err != nil {
		return err
	}
	s, err := openChild(dir)
	if err != nil {
		return err
	}
	return s.Close()
}

// openChild opens the folder with the options that the environment gives.
func openChild(dir string) (*local.Store, error) {
	o := local.Options{Dir: dir, Visibility: 10 * time.Second, MaxReceives: 5}
	if v := os.Getenv(visibility); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil {
			return nil, err
		}
		o.Visibility = d
	}
	if v := os.Getenv(maxReceives); v != "" {
		if _, err := fmt.Sscan(v, &o.MaxReceives); err != nil {
			return nil, err
		}
	}
	o.Log = slog.New(slog.DiscardHandler) // the warning about long paths is expected in tests
	return local.Open(o)
}

// newDir returns a prepared data folder. Its path is short enough for sockets, whatever the name of the test, and has
// characters with a meaning in URLs and patterns.
func newDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "a [b]?#%20*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	must(t, local.Prepare(dir))
	return dir
}

// open returns a Store in this process.
func open(t testing.TB, dir string) *local.Store {
	t.Helper()
	s, err := local.Open(local.Options{Dir: dir, Visibility: time.Minute, MaxReceives: 5,
		Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
