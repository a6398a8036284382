package observe

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sync"
)

// Release is the lower-case hex SHA-256 of the running binary: what /version answers and a deployment compares.
// It is computed at the first call. A binary cannot contain its own hash, so it is read from disk; on Linux
// through /proc, which stays right when the file was replaced meanwhile.
var Release = sync.OnceValues(func() (string, error) {
	path := "/proc/self/exe"
	if _, err := os.Stat(path); err != nil {
		if path, err = os.Executable(); err != nil {
			return "", fmt.Errorf("find the running binary: %w", err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("open the running binary: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("hash the running binary: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
})

// ShortRelease is enough of a release for people and histories.
func ShortRelease(release string) string { return release[:min(12, len(release))] }
