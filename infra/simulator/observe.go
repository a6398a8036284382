package simulator

import (
	"fmt"
	"sync"
	"time"
)

// View is a group at one moment.
type View struct {
	Time      time.Time
	Group     Group
	Instances []Instance
	Refresh   *Refresh // the newest; nil: there was none
}

// changed tells the observer. The lock is held.
func (s *Simulator) changed(g *group) {
	if s.Observe == nil {
		return
	}
	v := View{Time: time.Now(), Group: g.Group, Instances: s.instances(g)}
	if n := len(g.refreshes); n > 0 {
		r := g.refreshes[n-1].shown()
		v.Refresh = &r
	}
	s.Observe(v)
}

// Guard watches that a release takes no good instance away: whenever an old instance leaves, the old ones that still
// serve and the new ones that were proven are together no fewer than the group's minimum. Old is who has another
// version than the newest refresh's desired configuration. Its Observe is an Options.Observe; it must not be used
// before the group is filled, see Arm.
type Guard struct {
	// Broken is told, a line each.
	Broken func(string)

	mu     sync.Mutex
	armed  bool
	old    map[string]int      // who served at the last look, by group
	proven map[string]struct{} // new instances that were proven once, while they are there
	looks  int
}

// Arm begins the watch.
func (w *Guard) Arm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = true
}

// Looks is how often the guard compared; a test that ends at 0 watched nothing.
func (w *Guard) Looks() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.looks
}

// Observe is for Options.Observe.
func (w *Guard) Observe(v View) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.armed || v.Refresh == nil || v.Refresh.Version == "" {
		return
	}
	if w.old == nil {
		w.old, w.proven = map[string]int{}, map[string]struct{}{}
	}
	w.looks++
	old, fresh := 0, 0
	for _, i := range v.Instances {
		if i.Version != v.Refresh.Version {
			if i.Passes {
				old++
			}
			continue
		}
		if i.Proven {
			w.proven[i.ID] = struct{}{}
		}
		if _, was := w.proven[i.ID]; was && i.State == "InService" {
			fresh++
		}
	}
	before := w.old[v.Group.Name]
	w.old[v.Group.Name] = old
	if old < before && old+fresh < v.Group.Min {
		w.Broken(fmt.Sprintf("%s %s: of %d old instances that served %d are left, with %d proven new ones: fewer than the minimum of %d (refresh %s)",
			v.Time.Format(time.TimeOnly), v.Group.Name, before, old, fresh, v.Group.Min, v.Refresh.Status))
	}
}
