package sepia_test

import (
	"bytes"
	"fmt"
	"testing"

	"imagery/app/sepia"
)

// TestTurnedInParts: a JPEG of any sampling is turned in parts with the same result as at once.
func TestTurnedInParts(t *testing.T) {
	for _, hv := range []byte{0x11, 0x12, 0x21, 0x22, 0x41, 0} {
		f := jpegFile{width: 531, height: 517, components: []jpegPlane{{1, hv >> 4, hv & 15, wave(0)}, {2, 1, 1, wave(1)},
			{3, 1, 1, wave(2)}}}
		if hv == 0 {
			f.components = []jpegPlane{{1, 1, 1, wave(0)}}
		}
		for o := uint16(2); o <= 8; o++ {
			t.Run(fmt.Sprintf("%x orientation %d", hv, o), func(t *testing.T) {
				f.segments = [][]byte{exifSegment(o)}
				raw := f.bytes()
				whole, err := sepia.Filter{}.Apply(t.Context(), raw)
				if err != nil {
					t.Fatal(err)
				}
				defer sepia.TurnInParts(100_000)() // four to nine parts
				parts, err := sepia.Filter{}.Apply(t.Context(), raw)
				if err != nil || !bytes.Equal(body(t, parts), body(t, whole)) {
					t.Errorf("another result, %v", err)
				}
			})
		}
	}
}
