package main

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"imagery/app/admin/fsck"
	"imagery/app/imagery"
)

// TestEveryFailpointHasAScenario: a new failpoint needs a row.
func TestEveryFailpointHasAScenario(t *testing.T) {
	for _, p := range imagery.Failpoints {
		if !slices.Contains(points(), string(p)) {
			t.Errorf("no scenario kills a process at %s", p)
		}
	}
}

func TestPlan(t *testing.T) {
	all, err := plan("all", "")
	if err != nil || len(all) != 2*len(scenarios()) {
		t.Errorf("%d rows, %v", len(all), err)
	}
	some, err := plan(onAWS, string(imagery.BeforeHint))
	if err != nil || len(some) != 2 || some[0].backend != onAWS || some[0].role == some[1].role {
		t.Errorf("one point on AWS: %v, %v", some, err)
	}
	for _, args := range [][]string{
		{"-backend", "moon"}, {"-point", "nowhere"}, {"-seconds", "-1"}, {"extra"}, {"-nonsense"},
	} {
		if code := run(context.Background(), args, io.Discard, io.Discard); code != 2 {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
}

// measured returns a row whose photos were all accepted at the time of the fault, with a stored state that tamper
// changes.
func measured(t *testing.T, tamper func(s *fsck.Snapshot)) *row {
	t.Helper()
	at := time.Now()
	r := &row{backend: onLocal, scenario: scenarios()[0], fault: fault{at: at, target: "a server"}}
	s := fsck.Snapshot{Objects: map[string]string{}}
	var journal []upload
	hash := fsck.HashOf([]byte("photo"))
	for range minNearby {
		u := upload{imagery.NewID(), hash, at.Add(-time.Second), at}
		journal = append(journal, u)
		i := fsck.Item{ID: u.id, Version: 2, State: "processed", Updated: at.Add(3 * time.Second).UnixMilli(),
			RawKey: imagery.RawKey(u.id, hash), ProcessedKey: imagery.ProcessedKey(u.id, hash, "jpg"),
			History: []fsck.Event{{State: "uploaded", Version: 1}, {State: "processed", Version: 2}}}
		s.Items = append(s.Items, i)
		s.Objects[i.RawKey], s.Objects[i.ProcessedKey] = hash, ""
	}
	tamper(&s)
	r.measure(journal, s)
	return r
}

// TestBrokenInvariants: each broken invariant is a problem of the row, and a problem changes the exit code.
func TestBrokenInvariants(t *testing.T) {
	healthy := measured(t, func(*fsck.Snapshot) {})
	if len(healthy.problems) > 0 || healthy.nearby != minNearby || healthy.inFlight != minNearby {
		t.Errorf("a healthy row: %+v, %v", healthy.figures, healthy.problems)
	}
	if healthy.recovered < 2900*time.Millisecond || healthy.recovered > 3100*time.Millisecond {
		t.Errorf("recovered in %s", healthy.recovered)
	}
	for name, c := range map[string]struct {
		tamper func(*fsck.Snapshot)
		want   figures
	}{
		"an image is gone": {func(s *fsck.Snapshot) { s.Items = s.Items[1:] }, figures{lost: 1, orphans: 2}},
		"not final":        {func(s *fsck.Snapshot) { s.Items[0].State = "uploaded" }, figures{lost: 1}},
		"other bytes":      {func(s *fsck.Snapshot) { s.Items[0].RawKey += "0" }, figures{lost: 1}},
		"result gone":      {func(s *fsck.Snapshot) { delete(s.Objects, s.Items[0].ProcessedKey) }, figures{lost: 1}},
		"processed twice":  {func(s *fsck.Snapshot) { s.Items[0].Version = 4 }, figures{duplicated: 1}},
		"two results": {func(s *fsck.Snapshot) {
			s.Objects[strings.TrimSuffix(s.Items[0].ProcessedKey, "jpg")+"png"] = ""
		}, figures{duplicated: 1, orphans: 1}},
	} {
		r := measured(t, c.tamper)
		if len(r.problems) == 0 || r.lost < c.want.lost || r.duplicated < c.want.duplicated || r.orphans < c.want.orphans {
			t.Errorf("%s: %+v, %v", name, r.figures, r.problems)
		}
		var table bytes.Buffer
		printTable(&table, []*row{healthy, r})
		broken := printProblems(&table, []*row{healthy, r})
		if broken != 1 || strings.Count(table.String(), "\n| local |") != 2 {
			t.Errorf("%s: %d broken rows\n%s", name, broken, table.String())
		}
	}
	idle := measured(t, func(*fsck.Snapshot) {})
	idle.figures, idle.problems = figures{}, nil
	idle.measure(nil, fsck.Snapshot{})
	if len(idle.problems) != 1 {
		t.Errorf("a fault of an idle service is accepted: %v", idle.problems)
	}
}
