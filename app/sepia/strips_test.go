package sepia

import (
	"image"
	"runtime"
	"testing"
	"weak"
)

// TestLargeStripsAreReleased: the memory plan of the next photo does not include the strips of a very wide one.
func TestLargeStripsAreReleased(t *testing.T) {
	for width, kept := range map[int]bool{20_000: true, 65_535: false} {
		w := new(workspace)
		s := &w.strips[0]
		s.prepare(width, 16, image.YCbCrSubsampleRatio444)
		planes := weak.Make(&s.planes[0])
		w.recycle()
		runtime.GC()
		if got := planes.Value() != nil; got != kept {
			t.Errorf("%d columns: kept %t, want %t", width, got, kept)
		}
		runtime.KeepAlive(w)
	}
}
