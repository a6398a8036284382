package fsck_test

import (
	"encoding/json"
	"testing"

	"imagery/app/ops/fsck"
)

const id = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"

var (
	hash   = fsck.HashOf([]byte("photo"))
	raw    = "upload/" + id + "/" + hash
	result = "processed/" + id + "/" + hash + ".jpg"
)

// healthy is a processed, an unfinished and a fresh image.
func healthy() fsck.Snapshot {
	body, _ := json.Marshal(map[string]string{"imageId": id})
	return fsck.Snapshot{
		Items: []fsck.Item{
			{ID: id, Version: 2, State: "processed", RawKey: raw, ProcessedKey: result,
				History: []fsck.Event{{State: "uploaded", Version: 1}, {State: "processed", Version: 2}}},
			{ID: "1" + id[1:], State: "created", Expires: 1},
		},
		Objects:  map[string]string{raw: hash, result: ""},
		Messages: []fsck.Message{{Body: body}, {Body: []byte("junk"), Dead: true}},
	}
}

func TestCheck(t *testing.T) {
	if found := fsck.Check(healthy()); len(found) != 0 {
		t.Fatalf("a healthy snapshot: %v", found)
	}
	for name, c := range map[string]struct {
		breakIt func(*fsck.Snapshot)
		want    fsck.Class
	}{
		"result gone":         {func(s *fsck.Snapshot) { delete(s.Objects, result) }, fsck.Lost},
		"original damaged":    {func(s *fsck.Snapshot) { s.Objects[raw] = result }, fsck.Lost},
		"two results":         {func(s *fsck.Snapshot) { s.Objects[result[:len(result)-3]+"png"] = "" }, fsck.Duplicated},
		"foreign object":      {func(s *fsck.Snapshot) { s.Objects["tmp/x"] = "" }, fsck.Broken},
		"orphan":              {func(s *fsck.Snapshot) { s.Objects["upload/1"+id[1:]+"/"+hash] = "" }, fsck.Orphan},
		"version jumps":       {func(s *fsck.Snapshot) { s.Items[0].History[1].Version = 3; s.Items[0].Version = 3 }, fsck.Broken},
		"illegal history":     {func(s *fsck.Snapshot) { s.Items[0].History[0].State = "failed" }, fsck.Broken},
		"history ends before": {func(s *fsck.Snapshot) { s.Items[0].History = s.Items[0].History[:1] }, fsck.Broken},
		"unknown state":       {func(s *fsck.Snapshot) { s.Items[0].State = "resized" }, fsck.Broken},
		"error outside":       {func(s *fsck.Snapshot) { s.Items[0].Error = "x" }, fsck.Broken},
		"pending outside":     {func(s *fsck.Snapshot) { s.Items[0].Pending = "0" }, fsck.Broken},
		"result of another":   {func(s *fsck.Snapshot) { s.Items[0].ProcessedKey = "processed/" + id + "/x.jpg" }, fsck.Broken},
		"no expiry":           {func(s *fsck.Snapshot) { s.Items[1].Expires = 0 }, fsck.Broken},
		"unfinished, original gone": {func(s *fsck.Snapshot) {
			unfinish(s)
			delete(s.Objects, raw)
		}, fsck.Lost},
		"unfinished, no message": {func(s *fsck.Snapshot) {
			unfinish(s)
			s.Messages = s.Messages[1:]
		}, fsck.Unhinted},
	} {
		s := healthy()
		c.breakIt(&s)
		found := fsck.Check(s)
		ok := false
		for _, f := range found {
			ok = ok || f.Class == c.want
		}
		if !ok {
			t.Errorf("%s: found %v, want %s", name, found, c.want)
		}
	}
}

// unfinish takes the first item back to uploaded.
func unfinish(s *fsck.Snapshot) {
	s.Items[0] = fsck.Item{ID: id, Version: 1, State: "uploaded", RawKey: raw, Pending: id[:1],
		History: []fsck.Event{{State: "uploaded", Version: 1}}}
	delete(s.Objects, result)
}
