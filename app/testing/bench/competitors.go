package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"imagery/app/testing/bench/protocol"
)

// sharpVersion is the version of sharp that is measured.
const sharpVersion = "0.35.5"

//go:embed sharp.mjs
var sharpProgram []byte

// govipsVersion is the version of govips that is measured, with the libvips that the machine has.
const govipsVersion = "v2.16.0"

//go:embed libvips.go
var libvipsProgram []byte

// tools has the paths of the programs that implement the protocol.
type tools struct {
	ours  string // built from this repository
	sharp string // sharp.mjs, beside its node_modules
	cache string // folder of what is built or installed once
}

// prepare builds the program ours in dir, and installs sharp in the user's cache unless it is there.
func prepare(ctx context.Context, dir string) (t tools, err error) {
	for _, need := range []string{"taskset", "node", "npm"} {
		if _, err := exec.LookPath(need); err != nil {
			return t, fmt.Errorf("%s is needed and not installed", need)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return t, fmt.Errorf("find the cache folder: %w", err)
	}
	t.cache = filepath.Join(cache, "imagery", "bench")
	home := filepath.Join(t.cache, "sharp-"+sharpVersion)
	t.sharp, t.ours = filepath.Join(home, "sharp.mjs"), filepath.Join(dir, "ours")
	if err := build(ctx, t.ours, "./app/testing/bench/ours"); err != nil {
		return t, err
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return t, err
	}
	if _, err := os.Stat(filepath.Join(home, "node_modules", "sharp")); err != nil {
		install := exec.CommandContext(ctx,
			"npm", "install", "--prefix", home, "--no-audit", "--no-fund", "sharp@"+sharpVersion)
		if out, err := install.CombinedOutput(); err != nil {
			return t, fmt.Errorf("install sharp: %w\n%s", err, out)
		}
	}
	return t, os.WriteFile(t.sharp, sharpProgram, 0o644)
}

// build builds a binary with the flags of a release.
func build(ctx context.Context, out, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// buildLibvips builds libvips.go in a module of its own in the user's cache, unless it is there. What is missing on the
// machine is an exec.ErrNotFound.
func (t tools) buildLibvips(ctx context.Context) (exe string, err error) {
	version, err := exec.CommandContext(ctx, "pkg-config", "--modversion", "vips").Output()
	if err != nil {
		return "", fmt.Errorf("libvips is needed (apt-get install libvips-dev pkg-config g++): %w", exec.ErrNotFound)
	}
	home := filepath.Join(t.cache, "libvips-"+strings.TrimSpace(string(version))+"-govips-"+govipsVersion)
	exe = filepath.Join(home, "libvips")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return "", err
	}
	source := filepath.Join(home, "libvips.go")
	if old, err := os.ReadFile(source); err == nil && bytes.Equal(old, libvipsProgram) {
		if _, err := os.Stat(exe); err == nil {
			return exe, nil
		}
	}
	module := fmt.Sprintf("module libvips\n\ngo 1.26\n\nrequire github.com/davidbyttow/govips/v2 %s\n", govipsVersion)
	err = os.WriteFile(filepath.Join(home, "go.mod"), []byte(module), 0o644)
	if err == nil {
		err = os.WriteFile(source, libvipsProgram, 0o644)
	}
	if err != nil {
		return "", err
	}
	log.Print("building govips, which takes a minute")
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=mod", "-ldflags", "-s -w", "-o", exe, "libvips.go")
	cmd.Dir, cmd.Env = home, append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build govips: %w\n%s", err, out)
	}
	return exe, nil
}

// starter starts a program on the given cores.
type starter func(ctx context.Context, cores []int) (*engine, error)

// startOurs returns a starter of the program ours with one of its operations.
func (t tools) startOurs(operation string) starter {
	return func(ctx context.Context, cores []int) (*engine, error) {
		return startProtocol(ctx, operation, cores, t.ours)
	}
}

// startWithoutVectors starts the program ours without the instructions that only amd64 has, so with the code that other
// architectures run.
func (t tools) startWithoutVectors(ctx context.Context, cores []int) (*engine, error) {
	return startProtocol(ctx, "ours", cores, "env", "GODEBUG=cpu.avx2=off", t.ours)
}

// startSharp returns a starter of sharp with one of its operations, with as many threads as cores.
func (t tools) startSharp(operation string) starter {
	return func(ctx context.Context, cores []int) (*engine, error) {
		return startProtocol(ctx, operation, cores, "node", t.sharp, strconv.Itoa(len(cores)), matrixArgument())
	}
}

// startLibvips starts the program in libvips.go, with as many threads as cores.
func (t tools) startLibvips(ctx context.Context, cores []int) (*engine, error) {
	exe, err := t.buildLibvips(ctx)
	if err != nil {
		return nil, err
	}
	return startProtocol(ctx, "", cores, exe, strconv.Itoa(len(cores)), matrixArgument())
}

// matrixArgument returns the matrix as JSON.
func matrixArgument() string {
	text, _ := json.Marshal(protocol.Matrix) // an array of numbers has no errors
	return string(text)
}

// competitor is a program to compare with.
type competitor struct {
	name  string
	start starter
}

// sharpName is the competitor that all kinds of photos are compared with; for others these are baseline JPEGs.
const sharpName = "sharp"

// imageMagick is the competitor that needs a process for each photo.
const imageMagick = "ImageMagick"

func (t tools) competitors() []competitor {
	return []competitor{
		{sharpName, t.startSharp("matrix")},
		{"ours without AVX2", t.startWithoutVectors},
		{"Node worker with sharp", t.startSharp("worker")},
		{"Go with libvips", t.startLibvips},
		{"Go with imaging", t.startOurs("plain")},
		{"GraphicsMagick", startGraphicsMagick},
		{imageMagick, startImageMagick},
	}
}

// inMemory is the folder for the files of programs whose time includes reading and writing them.
const inMemory = "/dev/shm"

// startGraphicsMagick starts one process for all photos. It prints PASS after each command.
func startGraphicsMagick(ctx context.Context, cores []int) (*engine, error) {
	version, err := exec.CommandContext(ctx, "gm", "version").Output()
	if err != nil {
		return nil, fmt.Errorf("run gm: %w", err)
	}
	e, err := start(ctx, inMemory, cores, "gm", "batch", "-prompt", "off", "-feedback", "on", "-")
	if err == nil {
		e.versions = firstWords(version, 2)
		e.request, e.reply = magick("convert", "-recolor"), passed
	}
	return e, err
}

// startImageMagick starts a shell that starts a process for each photo.
func startImageMagick(ctx context.Context, cores []int) (*engine, error) {
	for _, exe := range []string{"magick", "convert-im6.q16", "convert"} { // version 7, Debian's version 6, version 6
		version, err := exec.CommandContext(ctx, exe, "-version").Output()
		name, ours := strings.CutPrefix(firstWords(version, 3), "Version: ")
		if err != nil || !ours {
			continue // it is not installed, or another program has this name
		}
		e, err := start(ctx, inMemory, cores,
			"sh", "-c", `while read -r line; do eval "$line" && echo PASS || echo FAIL; done`)
		if err == nil {
			e.versions, e.request, e.reply = name, magick(exe, "-color-matrix"), passed
		}
		return e, err
	}
	return nil, fmt.Errorf("run ImageMagick: %w", exec.ErrNotFound)
}

// magick returns the command line of GraphicsMagick or ImageMagick for a photo. At this quality both write 4:4:4 by
// default.
func magick(command, matrixFlag string) func(p photo, in, out string) string {
	return func(p photo, in, out string) string {
		encoding := "-sampling-factor 2x2,1x1,1x1 -quality 90"
		if p.kind.result == "png" {
			encoding = "-quality 15" // zlib level 1, the filter is chosen for each row
		}
		matrix := strings.NewReplacer("[", "", "]", "").Replace(fmt.Sprintf("%.5f", protocol.Matrix))
		return fmt.Sprintf("%s %q -auto-orient %s %q %s %q", command, in, matrixFlag, matrix, encoding, out)
	}
}

// passed is the reply of programs that print PASS.
func passed(line []byte, took time.Duration) (sample, error) {
	if strings.TrimSpace(string(line)) != "PASS" {
		return sample{}, errors.New("it answered " + string(line))
	}
	return sample{Elapsed: took}, nil
}

func firstWords(text []byte, n int) string {
	words := strings.Fields(string(text))
	return strings.Join(words[:min(n, len(words))], " ")
}
