package record_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// again writes a record and reads it back.
func again(t *testing.T, r record.Record) (out record.Record, document string) {
	t.Helper()
	document, err := r.Document()
	if err != nil {
		t.Fatal(err)
	}
	if out, err = record.Parse(document); err != nil {
		t.Fatal(err)
	}
	return out, document
}

func entry(n int) record.Entry {
	e := record.Entry{Release: fmt.Sprintf("%064x", n), From: fmt.Sprintf("%064x", n+1), By: "ann@laptop",
		Why: "pulumi up", Begin: noon, End: noon.Add(time.Minute),
		Result: record.RolledBack, Reason: "the new instances fail", Instance: "i-1",
		New: map[settings.Role]string{"server": "2", "worker": "2"},
		Old: map[settings.Role]string{"server": "1", "worker": "1"}, Before: map[settings.Role]string{"server": "a"}}
	for i := range 100 {
		e.Lines = append(e.Lines, fmt.Sprintf("line %d", i))
	}
	return e
}

func TestDocumentReadsBack(t *testing.T) {
	e := entry(1)
	e.Lines = e.Lines[:3]
	lock := &record.Lock{ID: "x", Holder: "ann@laptop", Why: "pulumi up", Since: noon, Until: noon.Add(time.Minute)}
	in := record.Record{Lock: lock, Abort: &record.Abort{By: "bob@desk", Since: noon}, Entries: []record.Entry{e},
		Blocked: map[string]record.Block{"a": {By: "bob", Since: noon, Why: "slow"}}}
	out, document := again(t, in)
	out2, same := again(t, out)
	if same != document || !reflect.DeepEqual(out2, out) || !reflect.DeepEqual(out.Blocked, in.Blocked) ||
		!reflect.DeepEqual(out.Lock, in.Lock) {
		t.Errorf("%+v", out)
	}
	empty, err := record.Parse("")
	if err != nil || empty.Current() != nil || empty.Lock.Live(noon) {
		t.Errorf("%+v, %v", empty, err)
	}
	if _, err := record.Parse("no"); err == nil {
		t.Error("an invalid document was parsed")
	}
}

// DynamoDB limits an item to 400 KB. A record that cannot be written would prevent all rollouts.
func TestDocumentIsBounded(t *testing.T) {
	var r record.Record
	r.Blocked = map[string]record.Block{}
	bad := strings.Repeat("\x01<\"\\\xff", 5000)
	for n := range 200 {
		e := entry(n)
		e.Reason, e.Why, e.By = bad, bad, bad
		for i := range e.Lines {
			e.Lines[i] = bad
		}
		r.Entries = append(r.Entries, e)
		r.Blocked[e.Release] = record.Block{By: "ann", Since: noon.Add(time.Duration(n) * time.Hour), Why: "because"}
	}
	out, document := again(t, r)
	if len(document) > 300_000 {
		t.Errorf("%d bytes", len(document))
	}
	if len(out.Entries) != 50 || len(out.Entries[0].Lines) != 30 || out.Entries[49].Lines != nil ||
		strings.ContainsAny(document, "\x01") {
		t.Errorf("%d entries, %d lines", len(out.Entries), len(out.Entries[0].Lines))
	}
	if len(out.Blocked) != 50 || out.Blocked[r.Entries[199].Release].By != "ann" {
		t.Error("the newest block is gone")
	}
	if len(r.Entries[0].Lines) != 100 {
		t.Error("writing a record changed it")
	}
	e := entry(1)
	if again, _ := again(t, record.Record{Entries: []record.Entry{e}}); again.Entries[0].Lines[29] != "line 99" {
		t.Error("the lines that were kept are not the last ones")
	}
}

// Fields of a newer release are preserved when an older release writes the record.
func TestUnknownFieldsArePreserved(t *testing.T) {
	r, err := record.Parse(`{
		"entries": [{"release":"a","result":"running","new":{"server":"2"},"approvedBy":["eve"]}],
		"abort": {"by":"ann"}, "freeze": {"until":"2030"}}`)
	if err != nil {
		t.Fatal(err)
	}
	r.Abort, r.Entries[0].Result = nil, record.Successful
	_, document := again(t, r)
	var out map[string]any
	if err := json.Unmarshal([]byte(document), &out); err != nil {
		t.Fatal(err)
	}
	first := out["entries"].([]any)[0].(map[string]any)
	if out["freeze"].(map[string]any)["until"] != "2030" || first["approvedBy"].([]any)[0] != "eve" ||
		first["result"] != "successful" {
		t.Error(document)
	}
	if out["abort"] != nil {
		t.Error("what was removed came back:", document)
	}
}

// Unknown fields inside a lock, an abort request and a block are preserved as well.
func TestUnknownNestedFieldsArePreserved(t *testing.T) {
	r, err := record.Parse(`{"entries":[], "lock": {"id":"1","holder":"ann","epoch":7},
		"abort": {"by":"bob","group":"server"}, "held": {"aa":{"by":"eve","why":"slow","ends":"2030"}}}`)
	if err != nil {
		t.Fatal(err)
	}
	r.Lock.Until = noon
	_, document := again(t, r)
	for _, kept := range []string{`"epoch":7`, `"group":"server"`, `"ends":"2030"`, `"until":"2026-01-02T12:00:00Z"`} {
		if !strings.Contains(document, kept) {
			t.Errorf("%s is lost: %s", kept, document)
		}
	}
}

func TestRecordQueries(t *testing.T) {
	r := record.Record{Entries: []record.Entry{{Release: "b", Result: record.Running, Begin: noon},
		{Release: "a", Result: record.Successful, Begin: noon, End: noon.Add(time.Hour)},
		{Release: "b", Result: record.RolledBack}}}
	of := func(release string) *record.Entry {
		return r.Newest(func(e record.Entry) bool { return e.Release == release })
	}
	if e := of("b"); e == nil || e.Result != record.Running {
		t.Errorf("%+v", e)
	}
	if of("c") != nil {
		t.Error("c was never here")
	}
	if c := r.Current(); c == nil || c.Release != "b" || c.Took(noon.Add(time.Minute)) != time.Minute ||
		r.Entries[1].Took(noon) != time.Hour {
		t.Errorf("%+v", c)
	}
	r.Entries[0].Result = record.Superseded
	if c := r.Current(); c != nil {
		t.Errorf("%+v", c)
	}
	l := &record.Lock{Until: noon}
	if l.Live(noon) || !l.Live(noon.Add(-time.Second)) {
		t.Error("a lock is live until its end")
	}
}
