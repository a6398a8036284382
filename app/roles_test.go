package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imagery/app/deploy/settings"
	"imagery/app/observe"
)

// An hour has 60 heartbeats and the first one, each a datapoint of the role; a process that stops has none.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		ctx, stop := context.WithCancel(t.Context())
		log := observe.NewLogger(&out, "", observe.Identity{Stack: "test", Role: "server", Instance: "i-1"})
		go heartbeat(ctx, log)
		time.Sleep(time.Hour + time.Second)
		stop()
		time.Sleep(time.Hour)
		beats := strings.Count(out.String(), `"`+settings.MetricHeartbeat+`":1,`)
		if beats != 60 || strings.Count(out.String(), `"Dimensions":[["stack","role"]]`) != beats {
			t.Errorf("%d heartbeats:\n%s", beats, out.String()[:min(1000, out.Len())])
		}
	})
}
