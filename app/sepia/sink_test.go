package sepia_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/iotest"

	"imagery/app/sepia"
)

// TestResultIsReadable: a store reads a result in any way that io allows, repeatedly and from any offset.
func TestResultIsReadable(t *testing.T) {
	const chunk = sepia.ChunkSize
	for _, lengths := range [][]int{{0}, {1}, {chunk - 1, 1}, {chunk, 1}, {5, 3*chunk + 7, chunk - 5}, {2 * chunk}} {
		t.Run(fmt.Sprint(lengths), func(t *testing.T) {
			var parts [][]byte
			for i, n := range lengths {
				part := make([]byte, n)
				for j := range part {
					part[j] = byte(noise8(j, i, 0))
				}
				parts = append(parts, part)
			}
			res, err := sepia.Written(t.Context(), parts...)
			if err != nil {
				t.Fatal(err)
			}
			want := slices.Concat(parts...)
			if res.Body.Size() != int64(len(want)) {
				t.Errorf("the size is %d, want %d", res.Body.Size(), len(want))
			}
			if err := iotest.TestReader(res.Body, want); err != nil {
				t.Error(err)
			}
		})
	}
}
