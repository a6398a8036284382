package doctor

import (
	"slices"
	"testing"

	"imagery/app/deploy/iam"
)

// Every right of the verbs about images is tried, or named as one that is not.
func TestEveryRightIsTriedOrNamed(t *testing.T) {
	for _, call := range iam.Operator {
		if (probes[right(call)] != nil) == slices.Contains(untried, right(call)) {
			t.Errorf("%s is neither, or both", right(call))
		}
	}
}
