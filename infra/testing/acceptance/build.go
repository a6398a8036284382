package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// binary is a release that differs from the one that `pulumi up` builds.
type binary struct {
	path, sha string
}

// change replaces a text that occurs once in a file of the checkout, in a copy.
type change struct {
	file, old, new string
	imported       string // package that the change needs, if the file does not import it
	more           string // appended
}

// Changes that make a release bad.
var (
	// spoiled gives photos back as they came. The self-test of an instance does not see it: it has a filter of its own.
	spoiled = change{file: "app/roles.go", old: "p.service.Filter = sepia.Filter{",
		new:      "p.service.Filter = unfiltered{MaxPixels: s.MaxPixels, MaxMemory: plan.Photos}\n\t_ = sepia.Filter{",
		imported: "bytes", more: `
type unfiltered sepia.Filter

func (f unfiltered) Inspect(raw []byte) (imagery.Cost, error) { return sepia.Filter(f).Inspect(raw) }

func (unfiltered) Apply(_ context.Context, raw []byte) (imagery.Result, error) {
	return imagery.Result{Body: bytes.NewReader(raw), Ext: "jpg", ContentType: "image/jpeg"}, nil
}
`}
	// slow holds up uploads that come faster than one a second, for longer than the alarm on latency allows.
	slow = change{file: "infra/testing/nspawn/testdata/slow.go", old: "const hold = 2500 * time.Millisecond",
		new: "const hold = 6 * time.Second"}
)

// slowTakesPlaceOf is the file for which the slow one is built.
const slowTakesPlaceOf = "app/failpoint.go"

// apply returns the changed text of the file.
func (c change) apply(checkout string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(checkout, c.file))
	if err != nil {
		return nil, err
	}
	if n := strings.Count(string(text), c.old); n != 1 {
		return nil, fmt.Errorf("%s has %q %d times, want once", c.file, c.old, n)
	}
	changed := strings.Replace(string(text), c.old, c.new, 1) + c.more
	if c.imported != "" {
		changed = strings.Replace(changed, "import (\n", fmt.Sprintf("import (\n\t%q\n", c.imported), 1)
	}
	return []byte(changed), nil
}

// build builds a release under a name of its own, which makes its bytes differ. Changes, by the file whose place they
// take, are those of a bad release.
func (t *test) build(ctx context.Context, name string, changes map[string]change) (b binary, err error) {
	overlay := map[string]string{}
	for place, c := range changes {
		text, err := c.apply(t.checkout)
		if err != nil {
			return b, fmt.Errorf("build release %s: %w", name, err)
		}
		changed := filepath.Join(t.work, name+"-"+filepath.Base(place))
		if err := os.WriteFile(changed, text, 0o644); err != nil {
			return b, err
		}
		overlay[filepath.Join(t.checkout, place)] = changed
	}
	text, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return b, err
	}
	list := filepath.Join(t.work, name+".json")
	if err := os.WriteFile(list, text, 0o644); err != nil {
		return b, err
	}
	arch, err := t.arch(ctx)
	if err != nil {
		return b, err
	}
	path := filepath.Join(t.work, name)
	_, err = t.run(ctx, "env", "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "go", "build", "-trimpath",
		"-buildvcs=false", "-overlay", list, "-ldflags", "-s -w -buildid="+name, "-o", path, "./app")
	if err != nil {
		return b, err
	}
	return hashed(path)
}

// arch returns the architecture of the stack's instances.
func (t *test) arch(ctx context.Context) (string, error) {
	arch, err := t.setting(ctx, "imagery:arch")
	return cmp.Or(arch, "arm64"), err
}

func hashed(path string) (binary, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return binary{}, err
	}
	sum := sha256.Sum256(data)
	return binary{path, hex.EncodeToString(sum[:])}, nil
}
