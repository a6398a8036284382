// Package record defines the release record: every rollout with its release, user, result and reason, the blocked
// releases, and the lock of the running rollout. It is one item in the table of images, so that it has the same
// lifetime. The rollout writes it and `imagery status` reads it. The package only encodes and decodes the document; its
// callers read and write the table.
package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"imagery/app/deploy/settings"
)

// ID is the key of the item. No image has it: their ids are UUIDs.
const ID = "rollout"

// Attributes of the item. Version grows by one with every write, and every write is conditional on it; Document is
// a Record as JSON.
const (
	AttributeID       = "id"
	AttributeVersion  = "version" // a number
	AttributeDocument = "record"  // a string
)

// Limits of the document. They keep the item below 300 KB, JSON escapes included; DynamoDB allows 400 KB.
const (
	maxEntries   = 50
	maxBlocked   = 50
	maxLinesKept = 10  // newest entries that keep their lines
	maxLines     = 30  // of one entry
	maxText      = 400 // bytes
	maxLine      = 200 // bytes
)

// Record is the whole document. Unknown fields, written by a newer release, are preserved.
type Record struct {
	Lock    *Lock            `json:"lock,omitempty"`  // nil: no rollout is running
	Abort   *Abort           `json:"abort,omitempty"` // nil: not requested
	Entries []Entry          `json:"entries"`         // newest first
	Blocked map[string]Block `json:"held,omitempty"`  // by release
	// Paused lists the roles whose groups must not launch instances since a first deploy failed. The next rollout
	// resumes them.
	Paused []settings.Role `json:"paused,omitempty"`

	unknown map[string]json.RawMessage
}

// Lock is held by the only rollout that may make changes. It expires at Until unless its holder renews it.
type Lock struct {
	ID     string    `json:"id"`     // unique per process
	Holder string    `json:"holder"` // user@host
	Why    string    `json:"why"`
	Since  time.Time `json:"since"` // UTC
	Until  time.Time `json:"until"`

	unknown map[string]json.RawMessage
}

// Live reports whether the lock is held at now. A nil lock is not held.
func (l *Lock) Live(now time.Time) bool { return l != nil && now.Before(l.Until) }

// Abort requests that the running rollout rolls back.
type Abort struct {
	By    string    `json:"by"`
	Since time.Time `json:"since"`

	unknown map[string]json.RawMessage
}

// Block prevents the rollout of a release until an operator forces it.
type Block struct {
	By    string    `json:"by"`
	Since time.Time `json:"since"`
	Why   string    `json:"why"`

	unknown map[string]json.RawMessage
}

// Result is the result of a rollout, or its phase while it is running.
type Result string

// The results. A rollout that is not Open does not change any more.
const (
	Running      Result = "running"
	RollingBack  Result = "rolling back" // it failed, and the rollback to the previous release is running
	Successful   Result = "successful"
	RolledBack   Result = "rolled back" // everything runs the previous release
	Failed       Result = "failed"      // it failed without rollback: there is no previous release, or that failed, too
	Superseded   Result = "superseded"  // another rollout began before it ended
	Inconclusive Result = "not judged"  // ended by the account, by AWS or by an operator, not by a fault of the release
)

// Open reports whether the rollout has not ended: it is running, or its process has died.
func (r Result) Open() bool { return r == Running || r == RollingBack }

// Bad reports whether the release itself failed.
func (r Result) Bad() bool { return r == RolledBack || r == Failed }

// Entry is one rollout.
type Entry struct {
	Release     string    `json:"release"`        // SHA-256 of the binary, lower-case hex
	From        string    `json:"from,omitempty"` // the previous release; empty: the first deploy
	By          string    `json:"by"`             // user@host
	Why         string    `json:"why"`
	Begin       time.Time `json:"begin"`        // UTC
	End         time.Time `json:"end,omitzero"` // zero while it is open
	Result      Result    `json:"result"`
	Reason      string    `json:"reason,omitempty"` // one sentence, if it did not succeed
	FinalResult Result    `json:"ends,omitempty"`   // the result after the rollback, if not RolledBack
	// Instance and Lines are the instance that failed and the last lines that it wrote.
	Instance string   `json:"instance,omitempty"`
	Lines    []string `json:"lines,omitempty"`
	// New and Old are launch template versions. A rollback returns to Old; a role that
	// did not work before is missing there.
	New map[settings.Role]string `json:"new"`
	Old map[settings.Role]string `json:"old,omitempty"`
	// Before is the id of the newest instance refresh of each group before this rollout.
	Before map[settings.Role]string `json:"before,omitempty"`

	unknown map[string]json.RawMessage
}

// Took returns the duration of the rollout, up to now if it has not ended.
func (e Entry) Took(now time.Time) time.Duration {
	if e.End.IsZero() {
		return now.Sub(e.Begin)
	}
	return e.End.Sub(e.Begin)
}

// Newest returns the newest entry that matches, or nil.
func (r Record) Newest(match func(Entry) bool) *Entry {
	if n := slices.IndexFunc(r.Entries, match); n >= 0 {
		return &r.Entries[n]
	}
	return nil
}

// Current returns the newest entry if it is open, else nil.
func (r Record) Current() *Entry {
	if len(r.Entries) > 0 && r.Entries[0].Result.Open() {
		return &r.Entries[0]
	}
	return nil
}

// Parse decodes a document. An empty string is an empty record.
func Parse(document string) (Record, error) {
	r := Record{Blocked: map[string]Block{}}
	if document == "" {
		return r, nil
	}
	var raw struct {
		Lock, Abort json.RawMessage
		Entries     []json.RawMessage
		Held        map[string]json.RawMessage
	}
	for _, v := range []any{&r, &raw} {
		if err := json.Unmarshal([]byte(document), v); err != nil {
			return Record{}, fmt.Errorf("read the release record: %w", err)
		}
	}
	r.unknown = unknownMembers([]byte(document), r)
	for i := range r.Entries {
		r.Entries[i].unknown = unknownMembers(raw.Entries[i], r.Entries[i])
	}
	if r.Lock != nil {
		r.Lock.unknown = unknownMembers(raw.Lock, *r.Lock)
	}
	if r.Abort != nil {
		r.Abort.unknown = unknownMembers(raw.Abort, *r.Abort)
	}
	for release, b := range r.Blocked {
		b.unknown = unknownMembers(raw.Held[release], b)
		r.Blocked[release] = b
	}
	return r, nil
}

// unknownMembers returns the members of a JSON object for which v, which was decoded from it, has no field.
func unknownMembers(object []byte, v any) (all map[string]json.RawMessage) {
	_ = json.Unmarshal(object, &all) // v could be decoded
	for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		delete(all, name)
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// Document encodes the record. It drops entries that are too old and truncates long texts.
func (r Record) Document() (string, error) {
	entries := []object{}
	for i, e := range r.Entries[:min(len(r.Entries), maxEntries)] {
		if e.truncate(); i >= maxLinesKept {
			e.Lines = nil
		}
		entries = append(entries, object{e, e.unknown})
	}
	blocked := map[string]object{}
	for release, b := range newest(r.Blocked) {
		blocked[release] = object{b, b.unknown}
	}
	all := map[string]any{"entries": entries, "held": blocked, "paused": r.Paused}
	if r.Lock != nil {
		all["lock"] = object{r.Lock, r.Lock.unknown}
	}
	if r.Abort != nil {
		all["abort"] = object{r.Abort, r.Abort.unknown}
	}
	out, err := encode(object{all, r.unknown})
	if err != nil {
		return "", fmt.Errorf("write the release record: %w", err)
	}
	return string(out), nil
}

// object encodes a struct together with the members that unknownMembers returned.
type object struct {
	known   any
	unknown map[string]json.RawMessage
}

// MarshalJSON writes the object.
func (o object) MarshalJSON() ([]byte, error) {
	out, err := encode(o.known)
	if err != nil || len(o.unknown) == 0 {
		return out, err
	}
	all := maps.Clone(o.unknown)
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, err
	}
	return encode(all)
}

// encode does not escape <, > and &: the limits are in bytes, and \u003c has six.
func encode(v any) ([]byte, error) {
	out := &bytes.Buffer{}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSpace(out.Bytes()), err
}

// truncate shortens the texts and lines of the entry to their limits.
func (e *Entry) truncate() {
	for _, s := range []*string{&e.Reason, &e.By, &e.Why} {
		*s = clean(*s, maxText)
	}
	e.Lines = slices.Clone(e.Lines[max(0, len(e.Lines)-maxLines):])
	for i := range e.Lines {
		e.Lines[i] = clean(e.Lines[i], maxLine)
	}
}

// clean replaces control characters, which JSON would encode in six bytes, by spaces and truncates s to most bytes.
func clean(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most-len("…")], "") + "…"
	}
	return s
}

// newest returns the newest maxBlocked blocks.
func newest(all map[string]Block) map[string]Block {
	if len(all) <= maxBlocked {
		return all
	}
	releases := slices.SortedFunc(maps.Keys(all), func(a, b string) int { return all[b].Since.Compare(all[a].Since) })
	out := map[string]Block{}
	for _, release := range releases[:maxBlocked] {
		out[release] = all[release]
	}
	return out
}
