package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"imagery/app/imagery"
	"imagery/app/testing/conformance"
	"imagery/app/testing/memory"
)

// TestMemory runs the suites on the ports in memory, called directly and through HTTP.
func TestMemory(t *testing.T) {
	const noAttributes = "the catalog in memory has no attributes"
	backend := func(name string, serve func(t *testing.T, p conformance.Ports) conformance.Ports) conformance.Target {
		return conformance.Target{
			Name: name, Visibility: 200 * time.Millisecond, Exact: true, Double: true,
			NotRun: map[string]string{
				"Catalog.Move: what a state must not have is removed": noAttributes,
				"Catalog.Move, Touch: unknown attributes survive":     noAttributes,
			},
			Catalog: func(t *testing.T, n int) (s conformance.CatalogStorage) {
				c := &memory.Catalog{}
				for range n {
					s.Handles = append(s.Handles, serve(t, conformance.Ports{Catalog: c}).Catalog)
				}
				return s
			},
			Queue: func(t *testing.T, n int, l imagery.Limits) (s conformance.QueueStorage) {
				q, dead := memory.NewQueue(l)
				for range n {
					p := serve(t, conformance.Ports{Queue: q, DeadLetters: dead})
					s.Handles, s.DeadLetters = append(s.Handles, p.Queue), append(s.DeadLetters, p.DeadLetters)
				}
				return s
			},
		}
	}
	direct := backend("memory", func(_ *testing.T, p conformance.Ports) conformance.Ports { return p })
	direct.Blobs = func(_ *testing.T, n int) []imagery.Blobs { return slices.Repeat([]imagery.Blobs{&memory.Blobs{}}, n) }
	conformance.Run(t, direct, backend("remote", overHTTP))
}

// A backend that proves nothing is red where everything is required, and only there.
func TestNothingIsSkippedSilently(t *testing.T) {
	if os.Getenv("SUITE_RUNS_EMPTY") != "" {
		reasons := map[string]string{"Blobs.Get: the limit": "for a reason"}
		conformance.Run(t, conformance.Target{Name: "empty", NotRun: reasons})
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for require, wantRed := range map[string]bool{"": false, "1": true} {
		cmd := exec.Command(self, "-test.run=^TestNothingIsSkippedSilently$", "-test.v")
		cmd.Env = append(os.Environ(), "SUITE_RUNS_EMPTY=1", "REQUIRE_ALL="+require)
		out, err := cmd.CombinedOutput()
		if (err != nil) != wantRed || bytes.Contains(out, []byte("not run, and REQUIRE_ALL=1")) != wantRed {
			t.Errorf("with REQUIRE_ALL=%q: %v\n%s", require, err, out)
		}
		if !bytes.Contains(out, []byte("for a reason")) {
			t.Errorf("the reason is not told:\n%s", out)
		}
	}
}

// overHTTP returns the ports as another process sees them.
func overHTTP(t *testing.T, p conformance.Ports) conformance.Ports {
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	return conformance.Dial(server.URL)
}

// errCatalog answers with one error.
type errCatalog struct {
	imagery.Catalog
	err error
}

func (c errCatalog) Get(context.Context, string) (imagery.Image, error) {
	return imagery.Image{}, c.err
}

func TestErrorsKeepTheirIdentity(t *testing.T) {
	for _, want := range []error{
		imagery.ErrNotFound, imagery.ErrDenied, imagery.ErrExists, imagery.ErrConflict,
		context.Canceled, context.DeadlineExceeded,
	} {
		c := overHTTP(t, conformance.Ports{Catalog: errCatalog{err: fmt.Errorf("object x: %w", want)}}).Catalog
		if _, err := c.Get(t.Context(), "x"); !errors.Is(err, want) {
			t.Errorf("%v came back as %v", want, err)
		}
	}
	c := overHTTP(t, conformance.Ports{Catalog: errCatalog{err: io.ErrShortWrite}}).Catalog
	if _, err := c.Get(t.Context(), "x"); err == nil || err.Error() != io.ErrShortWrite.Error() {
		t.Errorf("a plain error came back as %v", err)
	}
}
