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

// UnmarshalJSON reads an abort request.
func (a *Abort) UnmarshalJSON(data []byte) (err error) {
	type plain Abort
	a.unknown, err = split(data, (*plain)(a))
	return err
}

// MarshalJSON writes an abort request.
func (a Abort) MarshalJSON() ([]byte, error) {
	type plain Abort
	return join(plain(a), a.unknown)
}

// UnmarshalJSON reads a block.
func (b *Block) UnmarshalJSON(data []byte) (err error) {
	type plain Block
	b.unknown, err = split(data, (*plain)(b))
	return err
}

// MarshalJSON writes a block.
func (b Block) MarshalJSON() ([]byte, error) {
	type plain Block
	return join(plain(b), b.unknown)
}

// split decodes data into v and returns the members for which v has no field.
func split(data []byte, v any) (map[string]json.RawMessage, error) {
	if err := json.Unmarshal(data, v); err != nil {
		return nil, err
	}
	var all, known map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	// A known field that is empty and has omitempty is missing here, but then there is nothing to preserve.
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

// join encodes v together with the unknown members that split returned.
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

// marshal encodes v without escaping <, > and &: the limits are in bytes, and \u003c has six.
func marshal(v any) ([]byte, error) {
	out := &bytes.Buffer{}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSpace(out.Bytes()), err
}
