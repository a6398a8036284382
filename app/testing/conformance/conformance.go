// Package conformance tests implementations of the storage ports: one suite per port, run on several handles of the
// same storage. It also serves the ports of one process to another, so that
// handles can be processes, and wraps ports in faults.
package conformance

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"imagery/app/imagery"
)

// Target is what the suites need to know of a backend. Each case opens a fresh, empty storage and as many
// handles on it as it asks for; the functions release with t.Cleanup what they open. Cases run in parallel.
// A port whose function is nil is not run.
type Target struct {
	Name    string
	Catalog func(t *testing.T, handles int) CatalogStorage
	Blobs   func(t *testing.T, handles int) []imagery.Blobs
	Queue   func(t *testing.T, handles int, limits imagery.Limits) QueueStorage

	// Visibility is the shortest visibility timeout that the queue can keep; the suite asks for multiples of it.
	Visibility time.Duration
	// Exact says that receives are counted exactly and that nothing is delivered twice without a reason.
	// SQS promises less, and is then asked for less.
	Exact bool

	// NotRun names the cases that this backend cannot run, with the reason. The table shows them, and they
	// fail when REQUIRE_ALL=1.
	NotRun map[string]string
	// Double says that this is a test double, which may do without what no test needs of it: its cells that
	// are not run stay skipped.
	Double bool
}

// CatalogStorage is a catalog and a way past the port, to the attributes of its items: text as it is, numbers
// in decimal, absent ones with ok false. Cases that need a function that is nil are not run.
type CatalogStorage struct {
	Handles      []imagery.Catalog
	SetAttribute func(id, name, value string) error
	Attribute    func(id, name string) (value string, ok bool, err error)
}

// QueueStorage is a queue with its dead letters; both have the same number of handles.
type QueueStorage struct {
	Handles     []imagery.Queue
	DeadLetters []imagery.Queue
}

// testCase proves one promise of a port. The name begins with the operation.
type testCase struct {
	name string
	run  func(t *testing.T, b Target)
}

// Run proves the promises of all ports on the backends and logs a table of operations and backends. A cell
// that was not run is a skipped test, and a failed one when REQUIRE_ALL=1.
func Run(t *testing.T, backends ...Target) {
	cases := slices.Concat(catalogCases(), pendingCases(), blobsCases(), queueCases(), redeliveryCases())
	results := &table{cells: map[[2]string]string{}}
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			for name := range b.NotRun {
				if !slices.ContainsFunc(cases, func(c testCase) bool { return c.name == name }) {
					t.Errorf("NotRun names %q, which is no case", name)
				}
			}
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					start := time.Now()
					defer func() { results.record(t, b.Name, c.name, time.Since(start)) }()
					if reason, ok := b.NotRun[c.name]; ok {
						t.Skip(reason)
					}
					c.run(t, b)
				})
			}
		})
	}
	results.report(t, cases, backends)
}

// table collects what became of each case on each backend.
type table struct {
	mu    sync.Mutex
	cells map[[2]string]string
}

const notRun = "not run"

func (tb *table) record(t *testing.T, backend, name string, took time.Duration) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	cell := fmt.Sprintf("ok %.1fs", took.Seconds())
	if t.Skipped() {
		cell = notRun
	} else if t.Failed() {
		cell = "FAILED"
	}
	tb.cells[[2]string{backend, name}] = cell
}

// report logs the table. Cells that nobody recorded, because -run left them out for example, count as not run.
func (tb *table) report(t *testing.T, cases []testCase, backends []Target) {
	var text strings.Builder
	line := func(first string, cell func(b Target) string) {
		fmt.Fprintf(&text, "\n%-79s", first)
		for _, b := range backends {
			fmt.Fprintf(&text, " %-12s", cell(b))
		}
	}
	missing := 0
	line("operation", func(b Target) string { return b.Name })
	for _, c := range cases {
		line(c.name, func(b Target) string {
			cell, ok := tb.cells[[2]string{b.Name, c.name}]
			if !ok {
				cell = notRun
			}
			if cell == notRun && !b.Double {
				missing++
			}
			return cell
		})
	}
	t.Log(text.String())
	if missing > 0 && os.Getenv("REQUIRE_ALL") == "1" {
		t.Errorf("%d cells were not run, and REQUIRE_ALL=1", missing)
	}
}

// waitTimeout is how long a case waits for what must come. Only a broken backend makes it wait so long.
const waitTimeout = 30 * time.Second

// eventually asks until the answer is yes.
func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for deadline := time.Now().Add(waitTimeout); !yes(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", waitTimeout, what)
		}
	}
}

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
