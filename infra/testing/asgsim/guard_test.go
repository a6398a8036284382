package asgsim_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// The guard reports a refresh that terminates all old instances first.
func TestGuardReportsUnsafeRefresh(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		var said []string
		c.guard.Report = func(s string) { said = append(said, s) }
		c.guarded()
		p := safe()
		p.MinHealthyPercentage, p.MaxHealthyPercentage = aws.Int32(0), aws.Int32(100)
		c.start("2", p)
		c.becomes(types.InstanceRefreshStatusSuccessful)
		if len(said) != 2 || !strings.Contains(said[0],
			"of 2 healthy old instances 1 are left, with 0 proven new ones: fewer than the minimum of 2") {
			t.Errorf("%q", said)
		}
	})
}
