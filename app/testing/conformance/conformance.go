// Package conformance tests implementations of the storage ports: one suite per port, run on several handles of the
// same storage. It can also serve the ports of one process to another, so that handles are in different processes.
package conformance

import (
	"os"
	"slices"
	"testing"
	"time"

	"imagery/app/imagery"
)

// Target describes a backend. Each case opens a new, empty storage with the number of handles that it needs; the
// functions must release it with t.Cleanup. Cases run in parallel. The suite of a port whose function is nil is not
// run.
type Target struct {
	Name    string
	Catalog func(t *testing.T, handles int) CatalogStorage
	Blobs   func(t *testing.T, handles int) []imagery.Blobs
	Queue   func(t *testing.T, handles int, limits imagery.Limits) QueueStorage

	// Visibility is the shortest visibility timeout of the queue. The suite uses multiples of it.
	Visibility time.Duration
	// Exact is true if receives are counted exactly and messages are not duplicated. SQS does not guarantee this.
	Exact bool

	// NotRun has the reason for each case that this backend cannot run; they fail with REQUIRE_ALL=1.
	NotRun map[string]string
	// Double is true for a test double, whose cases may be skipped even with REQUIRE_ALL=1.
	Double bool
}

// CatalogStorage is a catalog with direct access to the attributes of its items: text as stored, numbers in decimal, ok
// false for absent ones.
type CatalogStorage struct {
	Handles      []imagery.Catalog
	SetAttribute func(id, name, value string) error
	Attribute    func(id, name string) (value string, ok bool, err error)
}

// QueueStorage is a queue with its dead-letter queue. Both have the same number of handles.
type QueueStorage struct {
	Handles     []imagery.Queue
	DeadLetters []imagery.Queue
}

// testCase tests one guarantee of a port. The name starts with the operation.
type testCase struct {
	name string
	run  func(t *testing.T, b Target)
}

// Run tests all ports of the backends. A case that was not run is a skipped test, or a failed one with REQUIRE_ALL=1.
func Run(t *testing.T, backends ...Target) {
	cases := slices.Concat(catalogCases(), pendingCases(), blobsCases(), queueCases(), redeliveryCases())
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
					if reason, ok := b.NotRun[c.name]; ok {
						b.skip(t, reason)
					}
					c.run(t, b)
				})
			}
		})
	}
}

// skip ends a case that the backend cannot run.
func (b Target) skip(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("REQUIRE_ALL") == "1" && !b.Double {
		t.Fatal("not run, and REQUIRE_ALL=1: ", reason)
	}
	t.Skip(reason)
}

// waitTimeout limits how long a case waits for an expected event.
const waitTimeout = 30 * time.Second

// eventually polls until the condition is true.
func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for deadline := time.Now().Add(waitTimeout); !yes(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", waitTimeout, what)
		}
	}
}

// must fails the test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
