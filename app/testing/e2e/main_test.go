package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"imagery/app/testing/short"
)

// exe is the path of the binary under test, which TestMain builds once.
var exe string

// parallelTests sets how many tests run at the same time, unless -parallel says otherwise. Most of them wait for
// timeouts of the service more than they use a processor.
const parallelTests = "8"

func TestMain(m *testing.M) {
	short.Main("the built binary, tested from outside")
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", parallelTests); err != nil {
			panic(err) // the testing package has this flag
		}
	}
	dir, err := os.MkdirTemp("", "imagery-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	exe = filepath.Join(dir, "imagery")
	build := exec.Command("go", "build", "-o", exe, "imagery/app")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	code := 1
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the binary under test:", err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}
