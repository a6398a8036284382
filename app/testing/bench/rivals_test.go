package main

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// TestRivalsMayBeMissing: who is not installed is left out, and that is told apart from one that is broken.
func TestRivalsMayBeMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, r := range (tools{}).rivals() {
		_, err := r.start(t.Context(), []int{0})
		if !errors.Is(err, exec.ErrNotFound) {
			t.Errorf("%s: %v", r.name, err)
		}
	}
	if _, err := prepare(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "taskset is needed") {
		t.Errorf("without anything: %v", err)
	}
}

// TestArgumentsOfTheMagicks ask for what sharp and we write.
func TestArgumentsOfTheMagicks(t *testing.T) {
	f := files{"/memory"}
	asJPEG := strings.Join(f.arguments(photo{kind: webP}, "-recolor"), " ")
	if want := "/memory/in.webp -auto-orient -recolor 0.63580 0.46140 0.11340 0.20940 0.81160 0.10080 0.16320 0.32040 0.47860 " +
		"-sampling-factor 2x2,1x1,1x1 -quality 90 /memory/out.jpeg"; asJPEG != want {
		t.Errorf("%s\nwant %s", asJPEG, want)
	}
	if asPNG := strings.Join(f.arguments(photo{kind: lossless}, "-recolor"), " "); !strings.HasSuffix(asPNG, "-quality 15 /memory/out.png") {
		t.Error(asPNG)
	}
	if coreList([]int{0, 3}) != "0,3" {
		t.Error(coreList([]int{0, 3}))
	}
}
