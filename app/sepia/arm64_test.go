package sepia_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"imagery/app/testing/short"
)

// TestSamePixelsOnARM64 runs the tests of pixels on the architecture of the machines that process photos. Go fuses
// x*y+z there: a filter that is right here may be wrong there.
func TestSamePixelsOnARM64(t *testing.T) {
	short.Skip(t, "compiles for another architecture")
	if runtime.GOARCH == "arm64" {
		t.Skip("the other tests have run on it")
	}
	emulator, err := exec.LookPath("qemu-aarch64-static")
	if err != nil {
		skip(t, "needs qemu-aarch64-static, of the Debian package qemu-user-static: "+err.Error())
	}
	compiler, err := exec.LookPath("go")
	if err != nil {
		skip(t, "needs the go command: "+err.Error())
	}
	binary := filepath.Join(t.TempDir(), "sepia.test")
	compile := exec.CommandContext(t.Context(), compiler, "test", "-c", "-o", binary, ".")
	compile.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("compile for arm64: %v\n%s", err, out)
	}
	runPixelTests(t, nil, emulator, binary)
}

// TestSamePixelsWithoutVectors runs the tests of pixels as on a processor without vector instructions.
func TestSamePixelsWithoutVectors(t *testing.T) {
	short.Skip(t, "runs other tests once more")
	runPixelTests(t, []string{"GODEBUG=cpu.avx2=off"}, os.Args[0])
}

// runPixelTests runs the tests of pixels in another process.
func runPixelTests(t *testing.T, env []string, command ...string) {
	t.Helper()
	tests := []string{"TestGoldenFilter", "TestGoldenFile", "TestPNGOfEveryKind", "TestJPEGOfEveryKind",
		"TestWebPOfEveryKind", "TestWebPChroma", "TestGIF"}
	command = append(command, "-test.v", "-test.run", "^("+strings.Join(tests, "|")+")$")
	run := exec.CommandContext(t.Context(), command[0], command[1:]...)
	run.Env = append(os.Environ(), env...)
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command[0], err, out)
	}
	for _, name := range tests {
		if !strings.Contains(string(out), "--- PASS: "+name+" ") {
			t.Errorf("%s did not run:\n%s", name, out)
		}
	}
}
