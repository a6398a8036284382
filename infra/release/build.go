package release

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// Builder provides the binary of a release.
type Builder interface {
	// Build returns the path of the binary for an architecture. Root is the folder of the module.
	Build(ctx context.Context, root, arch string) (path string, err error)
}

// GoBuild builds ./app for Linux. The build is reproducible: the same source gives the same bytes in any folder and on
// any machine. It contains no paths, revision or time, and uses exactly the toolchain that go.mod names, which the go
// command downloads if another one is installed.
type GoBuild struct{}

// Build writes .build/<arch>/imagery below root.
func (GoBuild) Build(ctx context.Context, root, arch string) (string, error) {
	toolchain, err := toolchain(filepath.Join(root, "go.mod"))
	if err != nil {
		return "", err
	}
	out := filepath.Join(root, ".build", arch, "imagery")
	// Symbols and the build id (-s -w -buildid=) differ between machines.
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=",
		"-o", out, "./app")
	cmd.Dir = root
	// These variables override those of the environment, which could change the binary.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOARM64=v8.0", "GOAMD64=v1",
		"GOFLAGS=-mod=readonly", "GOWORK=off", "GOTOOLCHAIN="+toolchain, "GOEXPERIMENT=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the release: %w\n%s", err, bytes.TrimSpace(text))
	}
	return out, nil
}

// Prebuilt uses an existing file, for pipelines that build once and deploy to several stacks.
type Prebuilt struct{ Path string }

// Build returns the absolute path of the file, which may be relative to root.
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

var toolchainLine = regexp.MustCompile(`(?m)^toolchain (\S+)$`)

// toolchain returns the value of the toolchain line of go.mod.
func toolchain(gomod string) (string, error) {
	text, err := os.ReadFile(gomod)
	if err != nil {
		return "", fmt.Errorf("read the toolchain: %w", err)
	}
	m := toolchainLine.FindSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("read the toolchain: %s has no toolchain line, and builds may differ between machines", gomod)
	}
	return string(m[1]), nil
}

// sum returns the lower-case hex SHA-256 of a file, which identifies a release.
func sum(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("hash the release: %w", err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(content)), nil
}
