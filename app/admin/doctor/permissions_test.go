package doctor

import (
	"slices"
	"testing"

	"imagery/app/deploy/iam"
)

// TestPermissionsAreProbed: every permission of the commands about images is either probed or listed as unprobed.
func TestPermissionsAreProbed(t *testing.T) {
	probes := Cloud{}.probes("")
	for _, a := range iam.Operator {
		if (probes[permission(a)] != nil) == slices.Contains(unprobed, permission(a)) {
			t.Errorf("%s is neither, or both", permission(a))
		}
	}
}
