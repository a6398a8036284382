package pulumitest

import (
	"os"
	"os/exec"
	"testing"
)

// Need finds a program that a test cannot do without. Where it is missing the test is skipped, aloud, and fails
// instead if REQUIRE_ALL is 1.
func Need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil && os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatalf("%s is not installed", program)
	} else if err != nil {
		t.Skipf("%s is not installed", program)
	}
	return path
}
