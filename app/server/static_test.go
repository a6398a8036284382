package server

import (
	"bytes"
	"fmt"
	"testing"

	"imagery/app/deploy/settings"
)

// TestPageHasMaxPixels: the page rejects the same photos as the server, so it contains the server's limit, and its ETag
// changes with that.
func TestPageHasMaxPixels(t *testing.T) {
	t.Parallel()
	const embedded = 0
	tags := map[string]bool{}
	for limit, want := range map[int64]int64{embedded: settings.DefaultMaxPixels, 1: 1, 123_456_789: 123_456_789} {
		s := start(t, newFakes(), testTimeouts(), func(o *Options) { o.MaxPixels = limit })
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
