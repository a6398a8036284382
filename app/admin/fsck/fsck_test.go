package fsck_test

import (
	"encoding/json"
	"testing"

	"imagery/app/admin/fsck"
)

const id = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"

var (
	hash   = fsck.HashOf([]byte("photo"))
	raw    = "upload/" + id + "/" + hash
	result = "processed/" + id + "/" + hash + ".jpg"
)

// consistent returns a snapshot with a processed and a created image.
func consistent() fsck.Snapshot {
	body, _ := json.Marshal(map[string]string{"imageId": id})
	return fsck.Snapshot{
		Items: []fsck.Item{
			{ID: id, Version: 2, State: "processed", Updated: 1, RawKey: raw, ProcessedKey: result,
				History: []fsck.Event{{State: "uploaded", Version: 1}, {State: "processed", Version: 2}}},
			{ID: "1" + id[1:], State: "created", Updated: 1, Expires: 1},
		},
		Objects:  map[string]string{raw: hash, result: ""},
		Messages: []fsck.Message{{Body: body}, {Body: []byte("junk"), Dead: true}},
	}
}

func TestCheck(t *testing.T) {
	for _, warning := range []string{"", "The end of this photo is missing."} {
		s := consistent()
		s.Items[0].Warning = warning
		if found := fsck.Check(s); len(found) != 0 {
			t.Fatalf("a consistent snapshot, warning %q: %v", warning, found)
		}
	}
	for name, c := range map[string]struct {
		breakIt func(*fsck.Snapshot)
		want    fsck.Class
	}{
		"result gone":      {func(s *fsck.Snapshot) { delete(s.Objects, result) }, fsck.Lost},
		"original damaged": {func(s *fsck.Snapshot) { s.Objects[raw] = result }, fsck.Lost},
		"two results":      {func(s *fsck.Snapshot) { s.Objects[result[:len(result)-3]+"png"] = "" }, fsck.Duplicated},
		"foreign object":   {func(s *fsck.Snapshot) { s.Objects["tmp/x"] = "" }, fsck.Broken},
		"orphan":           {func(s *fsck.Snapshot) { s.Objects["upload/1"+id[1:]+"/"+hash] = "" }, fsck.Orphan},
		"version jumps": {func(s *fsck.Snapshot) {
			s.Items[0].History[1].Version, s.Items[0].Version = 3, 3
		}, fsck.Broken},
		"illegal history":     {func(s *fsck.Snapshot) { s.Items[0].History[0].State = "failed" }, fsck.Broken},
		"history ends before": {func(s *fsck.Snapshot) { s.Items[0].History = s.Items[0].History[:1] }, fsck.Broken},
		"unknown state":       {func(s *fsck.Snapshot) { s.Items[0].State = "resized" }, fsck.Broken},
		"error outside":       {func(s *fsck.Snapshot) { s.Items[0].Error = "x" }, fsck.Broken},
		"warning outside":     {func(s *fsck.Snapshot) { s.Items[1].Warning = "x" }, fsck.Broken},
		"pending outside":     {func(s *fsck.Snapshot) { s.Items[0].Pending = "0" }, fsck.Broken},
		"result of another": {func(s *fsck.Snapshot) {
			s.Items[0].ProcessedKey = "processed/" + id + "/x.jpg"
		}, fsck.Broken},
		"no expiry": {func(s *fsck.Snapshot) { s.Items[1].Expires = 0 }, fsck.Broken},
		"unfinished, original gone": {func(s *fsck.Snapshot) {
			unfinish(s)
			delete(s.Objects, raw)
		}, fsck.Lost},
		"unfinished, no message": {func(s *fsck.Snapshot) {
			unfinish(s)
			s.Messages = s.Messages[1:]
		}, fsck.Unhinted},
	} {
		s := consistent()
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

// TestLegacyItems: items of the original application are consistent, before and after this program processed them, and
// missing objects are found for them, too.
func TestLegacyItems(t *testing.T) {
	old, oldResult := "upload/"+id+"-1700000000000", "processed/"+id+"-1700000000001.png"
	for name, s := range map[string]fsck.Snapshot{
		"created":  {Items: []fsck.Item{{ID: id, State: "created", Created: 1}}},
		"uploaded": {Items: []fsck.Item{{ID: id, Version: 1, State: "uploaded", RawKey: old}}, NoMessages: true},
		"processed": {
			Items:   []fsck.Item{{ID: id, Version: 2, State: "processed", RawKey: old, ProcessedKey: oldResult}},
			Objects: map[string]string{oldResult: hash}},
		"processed by this program": {
			Items: []fsck.Item{{ID: id, Version: 2, State: "processed", Updated: 1, RawKey: old, ProcessedKey: result,
				History: []fsck.Event{{State: "processed", Version: 2}}}},
			Objects: map[string]string{result: ""}},
	} {
		if s.Objects == nil {
			s.Objects = map[string]string{}
		}
		if s.Items[0].RawKey != "" {
			s.Objects[old] = hash
		}
		found := fsck.Check(s)
		if unlisted := len(found) == 1 && found[0].Class == fsck.Unlisted; unlisted != (name == "uploaded") ||
			!unlisted && len(found) != 0 {
			t.Errorf("%s: %v", name, found)
		}
		before := len(found)
		clear(s.Objects)
		if found = fsck.Check(s); name != "created" && (len(found) != before+1 || found[0].Class != fsck.Lost) {
			t.Errorf("%s, objects missing: %v", name, found)
		}
	}
	found := fsck.Check(fsck.Snapshot{Objects: map[string]string{old: ""}})
	if len(found) != 1 || found[0].Class != fsck.Orphan || found[0].Image != id {
		t.Errorf("an original to which no item refers: %v", found)
	}
}

// unfinish sets the first item back to state uploaded.
func unfinish(s *fsck.Snapshot) {
	s.Items[0] = fsck.Item{ID: id, Version: 1, State: "uploaded", Updated: 1, RawKey: raw, Pending: id[:1],
		History: []fsck.Event{{State: "uploaded", Version: 1}}}
	delete(s.Objects, result)
}
