package record

import (
	"bytes"
	"encoding/json"
)

// The methods below preserve unknown fields: every write replaces the whole record, and an older release must not drop
// the fields of a newer one.

// UnmarshalJSON reads a record.
func (r *Record) UnmarshalJSON(data []byte) (err error) {
	type plain Record
	r.unknown, err = split(data, (*plain)(r))
	return err
}

// MarshalJSON writes a record.
func (r Record) MarshalJSON() ([]byte, error) {
	type plain Record
	return join(plain(r), r.unknown)
}

// UnmarshalJSON reads an entry.
func (e *Entry) UnmarshalJSON(data []byte) (err error) {
	type plain Entry
	e.unknown, err = split(data, (*plain)(e))
	return err
}

// MarshalJSON writes an entry.
func (e Entry) MarshalJSON() ([]byte, error) {
	type plain Entry
	return join(plain(e), e.unknown)
}

// UnmarshalJSON reads a lock.
func (l *Lock) UnmarshalJSON(data []byte) (err error) {
	type plain Lock
	l.unknown, err = split(data, (*plain)(l))
	return err
}

// MarshalJSON writes a lock.
func (l Lock) MarshalJSON() ([]byte, error) {
	type plain Lock
	return join(plain(l), l.unknown)
}

// UnmarshalJSON reads a request.
func (a *Abort) UnmarshalJSON(data []byte) (err error) {
	type plain Abort
	a.unknown, err = split(data, (*plain)(a))
	return err
}

// MarshalJSON writes a request.
func (a Abort) MarshalJSON() ([]byte, error) {
	type plain Abort
	return join(plain(a), a.unknown)
}

// UnmarshalJSON reads a block.
func (h *Block) UnmarshalJSON(data []byte) (err error) {
	type plain Block
	h.unknown, err = split(data, (*plain)(h))
	return err
}

// MarshalJSON writes a block.
func (h Block) MarshalJSON() ([]byte, error) {
	type plain Block
	return join(plain(h), h.unknown)
}

// split reads data into v, and returns what v has no field for.
func split(data []byte, v any) (map[string]json.RawMessage, error) {
	if err := json.Unmarshal(data, v); err != nil {
		return nil, err
	}
	var all, known map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	// A field that is left out when it is empty is known all the same, but then there is nothing to forget.
	again, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(again, &known); err != nil {
		return nil, err
	}
	for name := range known {
		delete(all, name)
	}
	if len(all) == 0 {
		return nil, nil
	}
	return all, nil
}

// join writes v and what was unknown when it was read.
func join(v any, unknown map[string]json.RawMessage) ([]byte, error) {
	data, err := marshal(v)
	if err != nil || len(unknown) == 0 {
		return data, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	for name, value := range unknown {
		if _, known := all[name]; !known {
			all[name] = value
		}
	}
	return marshal(all)
}

// marshal writes < as it is: as \u003c it would be six times as long, and bounds are in bytes.
func marshal(v any) ([]byte, error) {
	out := &bytes.Buffer{}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSpace(out.Bytes()), err
}
