package main

import (
	"context"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// standIn is a program that implements the protocol: its result is the photo, and a photo without bytes is an error.
const standIn = `#!/bin/sh
echo '{"versions":"a stand-in"}'
while read -r line; do
	in=$(echo "$line" | sed 's/.*"in":"\([^"]*\)".*/\1/'); out=$(echo "$line" | sed 's/.*"out":"\([^"]*\)".*/\1/')
	if [ -s "$in" ]; then cp "$in" "$out"; echo '{"nanos":1000000,"cpuMicros":1}'; else echo '{"error":"no bytes"}'; fi
done
`

// TestFailedPhotoDoesNotStopARun: the photos after it are measured, and the failure is in the results.
func TestFailedPhotoDoesNotStopARun(t *testing.T) {
	if _, err := exec.LookPath("taskset"); err != nil {
		t.Skip("taskset is not installed")
	}
	program := filepath.Join(t.TempDir(), "stand-in")
	if err := os.WriteFile(program, []byte(standIn), 0o700); err != nil {
		t.Fatal(err)
	}
	cores, err := usableCores()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := encodeJPEG(image.NewYCbCr(image.Rect(0, 0, 16, 16), image.YCbCrSubsampleRatio420))
	if err != nil {
		t.Fatal(err)
	}
	photos := []photo{{name: "empty", kind: baseline}, {name: "good", kind: baseline, width: 16, height: 16, raw: raw}}
	with := competitor{sharpName, func(ctx context.Context, cores []int) (*engine, error) {
		return startProtocol(ctx, "", cores, program)
	}}
	f := pipelineResults{versions: map[string]string{}}
	if err := f.compare(t.Context(), quick, tools{ours: program}, with, cores[:1], photos); err != nil {
		t.Fatal(err)
	}
	measured := slices.ContainsFunc(f.comparisons, func(c comparison) bool { return c.photo.name == "good" })
	if len(f.comparisons) != 1 || !measured || len(f.failed) != 1 ||
		!strings.HasPrefix(f.failed[0], "empty, one core, sharp: ") {
		t.Errorf("%+v, failed: %q", f.comparisons, f.failed)
	}
	f.measureMemory(t.Context(), tools{ours: program, sharp: "none"}, cores[:1], photos[:1])
	if len(f.memory) != 0 || len(f.failed) != 2 {
		t.Errorf("%+v, failed: %q", f.memory, f.failed)
	}
}
