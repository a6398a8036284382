package pulumitest

import (
	"os"
	"os/exec"
	"testing"
)

// Need returns the path of a program. If it is not installed, the test is skipped, or fails if REQUIRE_ALL is 1.
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
