package release

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Builder makes the binary that a stack ships and answers where it is.
type Builder interface {
	Build(ctx context.Context, root, arch string) (path string, err error)
}

// GoBuild builds ./app of the module in root for Linux, so that the same source gives the same bytes in any
// folder, on any machine, at any time: no paths, no revision, no clock, and exactly the toolchain that go.mod
// names (the go command fetches it if another one is installed).
type GoBuild struct{}

// Build writes .build/<arch>/imagery below root.
func (GoBuild) Build(ctx context.Context, root, arch string) (string, error) {
	toolchain, err := toolchain(filepath.Join(root, "go.mod"))
	if err != nil {
		return "", err
	}
	out := filepath.Join(root, ".build", arch, "imagery")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", out, "./app")
	cmd.Dir = root
	// -s -w and the empty build id drop symbols and the build id, which differ between machines.
	// What could change the bytes is pinned; of two values of one variable the last counts.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOARM64=v8.0", "GOAMD64=v1",
		"GOFLAGS=-mod=readonly", "GOWORK=off", "GOTOOLCHAIN="+toolchain, "GOEXPERIMENT=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the release: %w\n%s", err, bytes.TrimSpace(text))
	}
	return out, nil
}

// Prebuilt ships a file as it is, for a pipeline that builds once and deploys to many stacks.
type Prebuilt struct{ Path string }

// Build finds the file, relative to root.
func (p Prebuilt) Build(_ context.Context, root, _ string) (string, error) {
	path := p.Path
	if !filepath.IsAbs(path) {
		path = filepath.Join(root, path)
	}
	if s, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("find the artifact: %w", err)
	} else if !s.Mode().IsRegular() {
		return "", fmt.Errorf("find the artifact: %s is not a file", path)
	}
	return path, nil
}

// toolchain is the line of go.mod that names the exact compiler.
func toolchain(gomod string) (string, error) {
	f, err := os.Open(gomod)
	if err != nil {
		return "", fmt.Errorf("read the toolchain: %w", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "toolchain "); ok {
			return strings.TrimSpace(name), nil
		}
	}
	return "", fmt.Errorf("read the toolchain: %s has no toolchain line, so two machines could build two releases of one source", gomod)
}

// sum is the lower-case hex SHA-256 of a file, the identity of a release.
func sum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("hash the release: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("hash the release %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
