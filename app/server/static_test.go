package server

import (
	"bytes"
	"fmt"
	"testing"

	"imagery/app/deploy/settings"
)

// The page refuses what the server would refuse, so it has to know the same limit, and to be fetched anew when
// that changes.
func TestPageSaysMaxPixels(t *testing.T) {
	t.Parallel()
	const embedded = 0
	tags := map[string]bool{}
	for limit, want := range map[int64]int64{embedded: settings.DefaultMaxPixels, 1: 1, 123_456_789: 123_456_789} {
		s := start(t, newWorld(), unhurried(), func(o *Options) { o.MaxPixels = limit })
		got := s.get("/")
		if meta := fmt.Appendf(nil, `<meta name="max-pixels" content="%d">`, want); !bytes.Contains(got.body, meta) {
			t.Errorf("with MaxPixels %d the page has no %s", limit, meta)
		}
		tags[got.Header.Get("ETag")] = true
	}
	if len(tags) != 3 {
		t.Errorf("three pages, the ETags %v", tags)
	}
}
