package main

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// TestCompetitorsMayBeMissing: a program that is not installed has another error than one that fails.
func TestCompetitorsMayBeMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, r := range (tools{}).competitors() {
		_, err := r.start(t.Context(), []int{0})
		if !errors.Is(err, exec.ErrNotFound) {
			t.Errorf("%s: %v", r.name, err)
		}
	}
	if _, err := prepare(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "taskset is needed") {
		t.Errorf("without any tool: %v", err)
	}
}

// TestArgumentsOfMagick: they ask for the encoding that the other programs use.
func TestArgumentsOfMagick(t *testing.T) {
	f := files{"/memory"}
	asJPEG := strings.Join(f.arguments(photo{kind: webP}, "-recolor"), " ")
	if want := "/memory/in.webp -auto-orient -recolor " +
		"0.63580 0.46140 0.11340 0.20940 0.81160 0.10080 0.16320 0.32040 0.47860 " +
		"-sampling-factor 2x2,1x1,1x1 -quality 90 /memory/out.jpeg"; asJPEG != want {
		t.Errorf("%s\nwant %s", asJPEG, want)
	}
	asPNG := strings.Join(f.arguments(photo{kind: lossless}, "-recolor"), " ")
	if !strings.HasSuffix(asPNG, "-quality 15 /memory/out.png") {
		t.Error(asPNG)
	}
	if coreList([]int{0, 3}) != "0,3" {
		t.Error(coreList([]int{0, 3}))
	}
}
