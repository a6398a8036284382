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
	tests := []string{"TestGoldenFilter", "TestGoldenFile", "TestPNGOfEveryKind", "TestJPEGOfEveryKind",
		"TestWebPOfEveryKind", "TestGIF"}
	run := exec.CommandContext(t.Context(), emulator, binary, "-test.v", "-test.run", "^("+strings.Join(tests, "|")+")$")
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("run on arm64: %v\n%s", err, out)
	}
	for _, name := range tests {
		if !strings.Contains(string(out), "--- PASS: "+name+" ") {
			t.Errorf("%s did not run on arm64:\n%s", name, out)
		}
	}
}
