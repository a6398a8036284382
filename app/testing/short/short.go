// Package short implements the fast lane of the tests, go test -short. It is for tests only.
package short

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// Skip skips a slow test with -short, unless REQUIRE_ALL=1. leavesOut says what the fast lane does not check then.
func Skip(t testing.TB, leavesOut string) {
	t.Helper()
	if skips() {
		t.Skip("SKIPPED, go test without -short or with REQUIRE_ALL=1 runs it: ", leavesOut)
	}
}

// Main is Skip for all tests of a package. TestMain calls it before its set-up; it ends the process.
func Main(leavesOut string) {
	flag.Parse()
	if skips() {
		fmt.Println("SKIPPED, go test without -short or with REQUIRE_ALL=1 runs it:", leavesOut)
		os.Exit(0)
	}
}

func skips() bool { return testing.Short() && os.Getenv("REQUIRE_ALL") != "1" }
