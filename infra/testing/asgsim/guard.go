package asgsim

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// Guard asserts that a rollout never removes healthy capacity below the group's minimum: whenever a healthy old
// instance is terminated, the remaining healthy old instances and the proven new ones number at least Group.Min. An
// instance is old if its version differs from the newest refresh's desired configuration. Instances that fail their
// own health checks are not counted as removed. Pass Observe as Options.Observe; nothing is checked before Arm.
type Guard struct {
	// Report is called with one line per violation.
	Report func(string)

	mu     sync.Mutex
	armed  bool
	old    map[string]map[string]bool // ids of old instances that passed at the last observation, by group
	proven map[string]bool            // ids of new instances that were proven once
	checks int
}

// Arm starts checking.
func (w *Guard) Arm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed, w.old, w.proven = true, map[string]map[string]bool{}, map[string]bool{}
}

// Disarm stops checking, for tests that terminate instances by hand.
func (w *Guard) Disarm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = false
}

// Checks returns the number of snapshots checked; a test that ends at 0 checked nothing.
func (w *Guard) Checks() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.checks
}

// Observe checks a snapshot. It is meant for Options.Observe.
func (w *Guard) Observe(g Group, instances []Instance, r *types.InstanceRefresh) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.armed || r == nil {
		return
	}
	w.checks++
	before, old, proven := w.old[g.Name], map[string]bool{}, 0
	removed := maps.Clone(before)
	for _, i := range instances {
		inService := i.State == types.LifecycleStateInService
		if inService || !i.Healthy {
			delete(removed, i.ID) // still in service, or it failed its health checks
		}
		if i.Version != *r.DesiredConfiguration.LaunchTemplate.Version {
			if i.Passes {
				old[i.ID] = true
			}
			continue
		}
		if i.Proven {
			w.proven[i.ID] = true
		}
		if w.proven[i.ID] && inService {
			proven++
		}
	}
	w.old[g.Name] = old
	if len(removed) > 0 && len(old)+proven < g.Min {
		w.Report(fmt.Sprintf("%s %s: of %d healthy old instances %d are left, with %d proven new ones: fewer than the "+
			"minimum of %d (refresh %s)", time.Now().Format(time.TimeOnly), g.Name, len(before), len(old), proven, g.Min,
			r.Status))
	}
}
