package asgsim

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// View is a snapshot of a group.
type View struct {
	Time      time.Time
	Group     Group
	Instances []Instance
	Refresh   *Refresh // the newest one; nil: none was started
}

// changed passes a snapshot to Observe. The lock is held.
func (s *Simulator) changed(g *group) {
	if s.Observe == nil {
		return
	}
	v := View{Time: time.Now(), Group: g.Group, Instances: s.instances(g)}
	if n := len(g.refreshes); n > 0 {
		r := g.refreshes[n-1].copy()
		v.Refresh = &r
	}
	s.Observe(v)
}

// Guard asserts that a rollout never removes healthy capacity below the group's minimum: whenever a healthy old
// instance is terminated, the remaining healthy old instances and the proven new ones number at least Group.Min. An
// instance is old if its version differs from the newest refresh's desired configuration. Instances that fail their
// own health checks are not counted as removed. Pass Observe as Options.Observe; nothing is checked before Arm.
type Guard struct {
	// Broken is called with one line per violation.
	Broken func(string)

	mu     sync.Mutex
	armed  bool
	old    map[string]map[string]bool // ids of old instances that passed at the last observation, by group
	proven map[string]struct{}        // ids of new instances that were proven once
	looks  int
}

// Arm starts checking.
func (w *Guard) Arm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = true
}

// Disarm stops checking, for tests that terminate instances by hand.
func (w *Guard) Disarm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed, w.old = false, nil
}

// Looks returns the number of snapshots checked; a test that ends at 0 checked nothing.
func (w *Guard) Looks() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.looks
}

// Observe checks a snapshot. It is meant for Options.Observe.
func (w *Guard) Observe(v View) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.armed || v.Refresh == nil || v.Refresh.Version == "" {
		return
	}
	if w.old == nil {
		w.old, w.proven = map[string]map[string]bool{}, map[string]struct{}{}
	}
	w.looks++
	before, old, fresh := w.old[v.Group.Name], map[string]bool{}, 0
	removed := maps.Clone(before)
	for _, i := range v.Instances {
		if i.State == types.LifecycleStateInService || !i.Healthy {
			delete(removed, i.ID) // still in service, or it failed its health checks
		}
		if i.Version != v.Refresh.Version {
			if i.Passes {
				old[i.ID] = true
			}
			continue
		}
		if i.Proven {
			w.proven[i.ID] = struct{}{}
		}
		if _, was := w.proven[i.ID]; was && i.State == types.LifecycleStateInService {
			fresh++
		}
	}
	w.old[v.Group.Name] = old
	if len(removed) > 0 && len(old)+fresh < v.Group.Min {
		w.Broken(fmt.Sprintf("%s %s: of %d healthy old instances %d are left, with %d proven new ones: fewer than the "+
			"minimum of %d (refresh %s)", v.Time.Format(time.TimeOnly), v.Group.Name, len(before), len(old), fresh,
			v.Group.Min, v.Refresh.Status))
	}
}
