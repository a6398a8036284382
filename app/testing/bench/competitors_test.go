package main

import (
	"errors"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCompetitorsMayBeMissing: a program that is not installed has another error than one that fails.
func TestCompetitorsMayBeMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, r := range (tools{cache: t.TempDir()}).competitors() {
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
	line := magick("convert", "-recolor")
	if got, want := line(photo{kind: webP}, "/in.webp", "/out.jpeg"), `convert "/in.webp" -auto-orient -recolor `+
		`"0.63580 0.46140 0.11340 0.20940 0.81160 0.10080 0.16320 0.32040 0.47860" `+
		`-sampling-factor 2x2,1x1,1x1 -quality 90 "/out.jpeg"`; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := line(photo{kind: lossless}, "/in.png", "/out.png"); !strings.HasSuffix(got, ` -quality 15 "/out.png"`) {
		t.Error(got)
	}
}

// TestProcessForEachPhoto runs a stand-in for ImageMagick that copies the photo, or fails without one.
func TestProcessForEachPhoto(t *testing.T) {
	if _, err := exec.LookPath("taskset"); err != nil {
		t.Skip("taskset is not installed")
	}
	dir := t.TempDir()
	script := "#!/bin/sh\nif [ \"$1\" = -version ]; then echo Version: ImageMagick 7.1 x; exit; fi\n" +
		"[ -s \"$1\" ] || exit 1\nfor last; do :; done\nexec cp \"$1\" \"$last\"\n"
	if err := os.WriteFile(filepath.Join(dir, "magick"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	cores, err := usableCores()
	if err != nil || len(cores) == 0 {
		t.Fatal(cores, err)
	}
	e, err := startImageMagick(t.Context(), cores)
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	if e.versions != "ImageMagick 7.1" {
		t.Errorf("versions %q", e.versions)
	}
	raw, err := encodeJPEG(image.NewGray(image.Rect(0, 0, 8, 8)))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s, body, err := e.filter(photo{name: "photo", kind: baseline, raw: raw})
		if err != nil || string(body) != string(raw) || s.Elapsed <= 0 {
			t.Errorf("%+v, %d bytes, %v", s, len(body), err)
		}
	}
	if _, _, err := e.filter(photo{name: "nothing", kind: baseline}); err == nil {
		t.Error("a command that fails is no error")
	}
}
