package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"imagery/app/testing/bench/frame"
)

// sharpVersion is the release that is measured against.
const sharpVersion = "0.35.5"

//go:embed sharp.mjs
var sharpProgram []byte

// tools are the programs that take part, and where things are kept between runs.
type tools struct {
	cache string // never committed
	ours  string // built from this repository
	sharp string // sharp.mjs beside its libraries
}

// prepare builds what is ours into dir, and installs sharp unless an earlier run has.
func prepare(ctx context.Context, dir string) (t tools, err error) {
	for _, need := range []string{"taskset", "node", "npm"} {
		if _, err := exec.LookPath(need); err != nil {
			return t, fmt.Errorf("%s is needed and not installed", need)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return t, fmt.Errorf("find a place for sharp: %w", err)
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
		install := exec.CommandContext(ctx, "npm", "install", "--prefix", home, "--no-audit", "--no-fund", "sharp@"+sharpVersion)
		if out, err := install.CombinedOutput(); err != nil {
			return t, fmt.Errorf("install sharp: %w\n%s", err, out)
		}
	}
	return t, os.WriteFile(t.sharp, sharpProgram, 0o644)
}

// build makes a binary with the flags of a release.
func build(ctx context.Context, out, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, said)
	}
	return nil
}

// startOurs starts our side of the comparison.
func (t tools) startOurs(ctx context.Context, cores []int) (engine, error) {
	return startFramed(ctx, "ours", cores, t.ours)
}

// startSharp starts sharp with one of its looks, and as many threads as there are cores.
func (t tools) startSharp(look string) starter {
	return func(ctx context.Context, cores []int) (engine, error) { return t.openSharp(ctx, look, cores) }
}

func (t tools) openSharp(ctx context.Context, look string, cores []int) (*framed, error) {
	matrix, err := json.Marshal(frame.Matrix)
	if err != nil {
		return nil, err
	}
	return startFramed(ctx, look, cores, "node", t.sharp, strconv.Itoa(len(cores)), string(matrix))
}

// starter starts somebody who filters, on these cores.
type starter func(ctx context.Context, cores []int) (engine, error)

// rival is somebody to compare with.
type rival struct {
	name  string
	start starter
	all   bool // with all kinds of photos; else with baseline JPEGs only, for orientation
}

const bar = "sharp"

func (t tools) rivals() []rival {
	return []rival{
		{bar, t.startSharp("bar"), true},
		{"sharp, full look", t.startSharp("full"), false},
		{"Go with imaging", func(ctx context.Context, cores []int) (engine, error) {
			return startFramed(ctx, "plain", cores, t.ours)
		}, false},
		{"GraphicsMagick", func(ctx context.Context, cores []int) (engine, error) { return startBatch(ctx, cores) }, false},
		{"ImageMagick", func(ctx context.Context, cores []int) (engine, error) { return newPerPhoto(ctx, cores) }, false},
	}
}
