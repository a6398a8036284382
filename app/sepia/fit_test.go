package sepia_test

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"imagery/app/imagery"
	"imagery/app/sepia"
	"imagery/app/testing/short"
)

var wouldPass = regexp.MustCompile(`(\d+) x (\d+) pixels would pass`)

// TestRefusalNamesASizeThatPasses: of every kind of photo, the size that the refusal names passes under the same limit,
// and it is not much smaller than it has to be.
func TestRefusalNamesASizeThatPasses(t *testing.T) {
	short.Skip(t, "the size that a refusal names")
	for name, photo := range heavyKinds {
		t.Run(name, func(t *testing.T) {
			whole, err := sepia.Inspect(bytes.NewReader(photo(1500, 1000)), 0)
			if err != nil {
				t.Fatal(err)
			}
			f := sepia.Filter{MaxMemory: 20 << 20}
			if whole.Peak() <= f.MaxMemory {
				f.MaxMemory = whole.Peak() - 1
			}
			_, err = f.Check(bytes.NewReader(photo(1500, 1000)))
			bad := (*imagery.BadPhoto)(nil)
			if !errors.As(err, &bad) || bad.Kind != imagery.Unreadable {
				t.Fatalf("%d bytes for a photo that needs %d: %v", f.MaxMemory, whole.Peak(), err)
			}
			m := wouldPass.FindStringSubmatch(bad.Reason)
			if m == nil {
				t.Fatalf("no size in %q", bad.Reason)
			}
			width, _ := strconv.Atoi(m[1])
			height, _ := strconv.Atoi(m[2])
			if height < width*2/3-1 || height > width*2/3+1 {
				t.Errorf("%q names another shape", bad.Reason)
			}
			if _, err := f.Check(bytes.NewReader(photo(width, height))); err != nil {
				t.Errorf("%q: %v", bad.Reason, err)
			}
			larger := photo(width+width/4, height+height/4)
			lossless := strings.HasPrefix(name, "WebP lossless") // its bytes count, too
			if _, err := f.Check(bytes.NewReader(larger)); err == nil && !lossless {
				t.Errorf("%q, but a photo half as large again passes, too", bad.Reason)
			}
		})
	}
	_, err := sepia.Filter{MaxMemory: 1 << 20}.Check(bytes.NewReader(heavyGIF(100, 100)))
	if err == nil || wouldPass.MatchString(fmt.Sprint(err)) {
		t.Errorf("no size passes: %v", err)
	}
}
