package browser

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// axeVersion is the version of axe-core, axeSHA256 the checksum of its archive.
const (
	axeVersion = "4.14.1"
	axeSHA256  = "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745"
)

// axe returns the source of axe-core from a cache outside of the project, or else from npm.
var axe = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "imagery")
	file := filepath.Join(dir, "axe-core-"+axeVersion+".tgz")
	if _, err := os.Stat(file); err != nil {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		cmd := exec.Command("npm", "pack", "--silent", "axe-core@"+axeVersion)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("npm pack axe-core: %w: %s", err, out)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != axeSHA256 {
		return "", fmt.Errorf("%s is not axe-core %s: sha256 %x", file, axeVersion, sum)
	}
	return tarFile(b, "package/axe.min.js")
})

// tarFile returns one file of a gzipped tar archive.
func tarFile(tgz []byte, name string) (string, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(tgz))
	if err != nil {
		return "", err
	}
	for r := tar.NewReader(unzipped); ; {
		h, err := r.Next()
		if err != nil {
			return "", fmt.Errorf("look for %s: %w", name, err)
		}
		if h.Name == name {
			b, err := io.ReadAll(r)
			return string(b), err
		}
	}
}

// accessible fails the test for what axe-core finds wrong with the page, serious or worse. A run with few passed rules
// fails, too, because it has checked nothing.
func (tb *tab) accessible(state string) {
	tb.t.Helper()
	source, err := axe()
	skipUnless(tb.t, err)
	if !eval[bool](tb, `typeof axe !== 'undefined'`) {
		eval[bool](tb, source+"; true")
	}
	got := eval[struct {
		Passes int
		Found  []string
	}](tb, `axe.run({resultTypes: ['violations']}).then(r => ({
		passes: r.passes.length,
		found: r.violations.filter(v => v.impact === 'serious' || v.impact === 'critical')
			.map(v => v.id + ': ' + v.nodes.map(n => n.target + ' ' + n.failureSummary).join(' | '))}))`)
	if got.Passes < 10 {
		tb.t.Errorf("%s: axe looked at %d rules only", state, got.Passes)
	}
	if len(got.Found) > 0 {
		tb.t.Errorf("%s: axe found\n%s", state, strings.Join(got.Found, "\n"))
	}
}
