package observe

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sync"
)

// Release returns the lower-case hex SHA-256 of the running binary, which is the answer to /version. It is computed at
// the first call. On Linux it is read through /proc/self/exe, which stays correct if the file was replaced meanwhile.
var Release = sync.OnceValues(func() (string, error) {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		var path string
		if path, err = os.Executable(); err == nil {
			f, err = os.Open(path)
		}
	}
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

// ShortRelease returns the first 12 digits of a release, for logs and for the history of an image.
func ShortRelease(release string) string { return release[:min(12, len(release))] }
