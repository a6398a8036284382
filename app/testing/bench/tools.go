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

// sharpVersion is the version of sharp that is measured.
const sharpVersion = "0.35.5"

//go:embed sharp.mjs
var sharpProgram []byte

// tools has the paths of the programs and of the cache.
type tools struct {
	cache string // outside of the repository
	ours  string // built from this repository
	sharp string // sharp.mjs, beside its node_modules
}

// prepare builds the program ours in dir, and installs sharp in the cache unless it is there.
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

// startOurs starts a process that runs the filter of this repository.
func (t tools) startOurs(ctx context.Context, cores []int) (engine, error) {
	return startFramed(ctx, "ours", cores, t.ours)
}

// startSharp returns a starter of sharp with one of its operations, with as many threads as cores.
func (t tools) startSharp(operation string) starter {
	return func(ctx context.Context, cores []int) (engine, error) { return t.openSharp(ctx, operation, cores) }
}

func (t tools) openSharp(ctx context.Context, operation string, cores []int) (*framed, error) {
	matrix, err := json.Marshal(frame.Matrix)
	if err != nil {
		return nil, err
	}
	return startFramed(ctx, operation, cores, "node", t.sharp, strconv.Itoa(len(cores)), string(matrix))
}

// starter starts a program on the given cores.
type starter func(ctx context.Context, cores []int) (engine, error)

// competitor is a program to compare with.
type competitor struct {
	name  string
	start starter
	all   bool // compare with all kinds of photos, otherwise with baseline JPEGs only
}

const sharpName = "sharp"

func (t tools) competitors() []competitor {
	return []competitor{
		{sharpName, t.startSharp("matrix"), true},
		{"sharp, complete filter", t.startSharp("full"), false},
		{"Go with imaging", func(ctx context.Context, cores []int) (engine, error) {
			return startFramed(ctx, "plain", cores, t.ours)
		}, false},
		{"GraphicsMagick", func(ctx context.Context, cores []int) (engine, error) {
			return startBatch(ctx, cores)
		}, false},
		{"ImageMagick", func(ctx context.Context, cores []int) (engine, error) {
			return newProcessPerPhoto(ctx, cores)
		}, false},
	}
}
