package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"imagery/app/deploy/settings"
	"imagery/app/imagery"
)

// failpointsOnAWS must be 1 to arm a failpoint on AWS.
const failpointsOnAWS = "IMAGERY_FAILPOINTS_ON_AWS"

// failpoint is one armed commit point: POINT[@IMAGE-ID][#N].
type failpoint struct {
	point  imagery.Failpoint
	image  string // empty: any
	nth    int64  // the pass that kills the process, from 1
	passed atomic.Int64
}

// failpoints returns a hook for the failpoints of the setting, or nil if there are none.
func failpoints(s settings.Settings) (func(imagery.Failpoint, string), error) {
	if s.Failpoint == "" {
		return nil, nil
	}
	if s.OnAWS() && os.Getenv(failpointsOnAWS) != "1" {
		return nil, &settings.UsageError{Problems: []string{fmt.Sprintf(
			"failpoints kill processes: on AWS they need %s=1 too (%s)", failpointsOnAWS, settings.Named("failpoint"))}}
	}
	var armed []*failpoint
	for spec := range strings.SplitSeq(s.Failpoint, ",") {
		f, err := parseFailpoint(spec)
		if err != nil {
			return nil, &settings.UsageError{Problems: []string{fmt.Sprintf(
				"failpoint %q: %v (%s)", spec, err, settings.Named("failpoint"))}}
		}
		armed = append(armed, f)
	}
	return func(p imagery.Failpoint, id string) {
		for _, f := range armed {
			f.pass(p, id)
		}
	}, nil
}

func parseFailpoint(spec string) (*failpoint, error) {
	rest, nth, counted := strings.Cut(spec, "#")
	point, image, _ := strings.Cut(rest, "@")
	f := &failpoint{point: imagery.Failpoint(point), image: image, nth: 1}
	if !slices.Contains(imagery.Failpoints, f.point) {
		return nil, fmt.Errorf("unknown point; the points are %v", imagery.Failpoints)
	}
	if counted {
		n, err := strconv.ParseInt(nth, 10, 64)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a number from 1", nth)
		}
		f.nth = n
	}
	return f, nil
}

// pass counts a pass and kills the process at the armed one. Tests look for the line that it prints before.
func (f *failpoint) pass(p imagery.Failpoint, id string) {
	if f.point != p || f.image != "" && f.image != id || f.passed.Add(1) != f.nth {
		return
	}
	fmt.Fprintf(os.Stderr, "imagery: failpoint %s: pass %d, image %s, this process kills itself\n", p, f.nth, id)
	die()
}

// die kills the process with SIGKILL: nothing is flushed or cleaned up.
func die() {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(fmt.Errorf("kill this process: %w", err))
	}
	select {} // until the signal arrives
}
