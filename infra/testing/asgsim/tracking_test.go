package asgsim

import (
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestTracked(t *testing.T) {
	for name, c := range map[string]struct {
		desired int
		now     capacity
		value   float64
		want    int
	}{
		"at the target":                    {2, capacity{2, 0, 0}, 600, 2},
		"a little above, rounded up":       {2, capacity{2, 0, 0}, 601, 3},
		"proportionally":                   {2, capacity{2, 0, 0}, 1200, 4},
		"not above the maximum":            {2, capacity{2, 0, 0}, 60000, 6},
		"still high, but some are warming": {4, capacity{2, 2, 0}, 1200, 4},
		"higher still":                     {4, capacity{2, 2, 0}, 1500, 5},
		"less, but some are warming":       {4, capacity{3, 1, 0}, 100, 4},
		"less":                             {4, capacity{4, 0, 0}, 100, 3},
		"less, rounded up":                 {4, capacity{4, 0, 0}, 500, 4},
		"less, but one terminates":         {3, capacity{3, 0, 1}, 100, 3},
		"not below the minimum":            {2, capacity{2, 0, 0}, 0, 2},
		"all are warming":                  {2, capacity{0, 2, 0}, 6000, 2},
		"none is there":                    {2, capacity{0, 0, 0}, 0, 2},
		"no data":                          {3, capacity{3, 0, 0}, math.NaN(), 3},
	} {
		g := Group{Min: 2, Max: 6, Desired: c.desired}
		if got := tracked(g, c.now, c.value, 600); got != c.want {
			t.Errorf("%s: %+v: %d, want %d", name, c.now, got, c.want)
		}
	}
}

// TestTrack: a group grows at once and shrinks step by step, with its hooks as for any other change.
func TestTrack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{Script: func(Machine) Script {
			return Script{Boot: 40 * time.Second, Answer: Continue, Drain: 10 * time.Second}
		}}
		m.Simulator = New(Options{Driver: m, Log: t.Logf})
		s := m.Simulator
		defer s.Close()
		s.Create(Group{Name: "g", Min: 2, Max: 4, Template: "lt", Version: "1", Zones: []string{"a"},
			Warmup: 90 * time.Second, Hooks: []Hook{{"launch", Launching, Abandon, 900 * time.Second},
				{"terminate", Terminating, Continue, 150 * time.Second}}})
		// Every minute the load is spread over the instances in service.
		minute := func(load float64) (desired, serving int) {
			time.Sleep(time.Minute)
			g, all, err := s.Snapshot("g")
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range all {
				serving += btoi(i.State == "InService")
			}
			if err := s.Track("g", load/float64(serving), 10, "load"); err != nil {
				t.Error(err)
			}
			return g.Desired, serving
		}
		var seen [][2]int
		for n, load := range []float64{0, 0, 0, 40, 8, 8, 8, 8, 8, 8} {
			if n == 3 {
				time.Sleep(time.Minute) // the first instances are warm
			}
			desired, serving := minute(load)
			seen = append(seen, [2]int{desired, serving})
		}
		// The instances that the fourth minute adds are warm in the seventh.
		want := [][2]int{{2, 2}, {2, 2}, {2, 2}, {2, 2}, {4, 4}, {4, 4}, {4, 4}, {3, 3}, {2, 2}, {2, 2}}
		if !slices.Equal(seen, want) {
			t.Errorf("desired and in service, minute by minute: %v, want %v", seen, want)
		}
		if err := s.Suspend("g", "", "AlarmNotification"); err != nil {
			t.Fatal(err)
		}
		minute(100)
		if desired, _ := minute(100); desired != 2 {
			t.Errorf("%d instances are desired although alarms are suspended", desired)
		}
		if s.Track("other", 1, 1, "") == nil {
			t.Error("a group that does not exist was scaled")
		}
	})
}
