package heif

import (
	"errors"
	"fmt"
	"math"
)

// meta indexes the box meta of a file. It holds parts of the box, not what they mean, so that items that are no part of
// the photo cost nothing and may be damaged.
type meta struct {
	primary    uint32
	kinds      map[uint32]string // of the items
	properties []box
	assigned   map[uint32][]byte // what ipma has for an item
	wide       bool              // an association has 2 bytes
	locations  map[uint32][]byte // what iloc has for an item
	iloc       ilocLayout
	references []reference
	data       []byte                       // the box idat
	dataPos    int64                        // its position in the file
	fetch      func(extent) ([]byte, error) // reads a few bytes behind the box meta
}

// reference is an entry of the box iref.
type reference struct {
	kind string
	from uint32
	to   []uint32
}

// ilocLayout has the sizes of the numbers in the box iloc, in bytes.
type ilocLayout struct {
	version                                byte
	offsetSize, lengthSize, base, indexing int
}

// parseMeta returns the photo of the box meta, whose body is at pos in the file. fetch reads a few bytes behind it.
func parseMeta(b []byte, pos int64, fetch func(extent) ([]byte, error)) (*Image, error) {
	if len(b) < 4 {
		return nil, damaged(errors.New("the box meta is cut short"))
	}
	m := &meta{kinds: map[uint32]string{}, assigned: map[uint32][]byte{}, locations: map[uint32][]byte{}, fetch: fetch}
	seen := map[string]bool{}
	whole, b := b, b[4:] // version and flags
	for x, err := range boxes(b) {
		if err != nil {
			return nil, err
		}
		read := readers[x.kind]
		if read == nil || seen[x.kind] {
			continue
		}
		seen[x.kind] = true
		if x.kind == "idat" {
			// The body is a part of whole with the same end of memory.
			m.dataPos = pos + int64(cap(whole)-cap(x.body))
		}
		c := &cursor{b: x.body}
		if err := errors.Join(read(m, c), c.err(x.kind)); err != nil {
			return nil, err
		}
	}
	if !seen["pitm"] {
		return nil, damaged(errNoPhoto)
	}
	return m.photo()
}

// readers has the function that reads each child of the box meta.
var readers = map[string]func(*meta, *cursor) error{
	"pitm": (*meta).readPrimary, "iinf": (*meta).readInfo, "iloc": (*meta).readLocations,
	"iprp": (*meta).readProperties, "iref": (*meta).readReferences, "idat": (*meta).readData,
}

// id reads the number of an item.
func (c *cursor) id(wide bool) uint32 {
	if wide {
		return c.u32()
	}
	return uint32(c.u16())
}

func (m *meta) readPrimary(c *cursor) error {
	version, _ := c.full()
	m.primary = c.id(version > 0)
	return nil
}

func (m *meta) readData(c *cursor) error {
	m.data = c.b
	return nil
}

// errItems is returned for more than maxItems.
var errItems = unsupported(fmt.Sprintf("more than %d items", maxItems))

// readInfo reads the kinds of all items. Version 0 and 1 of an entry, of old drafts, have no kind.
func (m *meta) readInfo(c *cursor) error {
	if version, _ := c.full(); version == 0 {
		c.u16() // the number of entries, which the boxes have as well
	} else {
		c.u32()
	}
	for x, err := range boxes(c.b) {
		if err != nil {
			return err
		}
		if x.kind != "infe" {
			continue
		}
		if len(m.kinds) == maxItems {
			return errItems
		}
		e := &cursor{b: x.body}
		if version, _ := e.full(); version >= 2 {
			id := e.id(version > 2)
			e.u16() // protection, which items of photos do not have
			m.kinds[id] = string(e.bytes(4))
		}
		if err := e.err(x.kind); err != nil {
			return err
		}
	}
	return nil
}

// readLocations finds the entry of each item.
func (m *meta) readLocations(c *cursor) error {
	l := &m.iloc
	l.version, _ = c.full()
	sizes := c.u16()
	l.offsetSize, l.lengthSize = int(sizes>>12), int(sizes>>8&15)
	l.base, l.indexing = int(sizes>>4&15), int(sizes&15)
	if l.version == 0 {
		l.indexing = 0
	}
	if l.version > 2 || max(l.offsetSize, l.lengthSize, l.base, l.indexing) > 8 {
		return damaged(errors.New("the box iloc has a layout that is not defined"))
	}
	n := c.id(l.version == 2)
	if n > maxItems {
		return errItems
	}
	for range n {
		id := c.id(l.version == 2)
		entry := c.b
		if l.version > 0 {
			c.u16()
		}
		c.bytes(2 + l.base)
		c.bytes(int(c.u16()) * (l.indexing + l.offsetSize + l.lengthSize))
		if c.fail {
			break
		}
		if _, again := m.locations[id]; !again {
			m.locations[id] = entry[:len(entry)-len(c.b)]
		}
	}
	return nil
}

// extents returns the parts of the file that make up an item.
func (m *meta) extents(id uint32) ([]extent, error) {
	entry, ok := m.locations[id]
	if !ok {
		return nil, fmt.Errorf("item %d has no location", id)
	}
	l, c := m.iloc, cursor{b: entry}
	method := uint16(0)
	if l.version > 0 {
		method = c.u16() & 15
	}
	if source := c.u16(); source != 0 {
		return nil, unsupported("data in another file")
	}
	start, limit := int64(0), int64(math.MaxInt64)
	switch method {
	case 0:
	case 1:
		start, limit = m.dataPos, m.dataPos+int64(len(m.data))
	case 2:
		return nil, unsupported("pictures that are parts of other items")
	default:
		return nil, fmt.Errorf("item %d has the unknown construction method %d", id, method)
	}
	base := c.number(l.base)
	n := int(c.u16())
	if n == 0 || l.lengthSize == 0 {
		return nil, unsupported("a picture without a length")
	}
	list := make([]extent, 0, n) // as many as the entry has, with at least a byte each
	for range n {
		c.bytes(l.indexing)
		offset, length := c.number(l.offsetSize), c.number(l.lengthSize)
		const most = 1 << 61 // the sum of three is an int64
		if base > most || offset > most || length > most ||
			start+int64(base+offset+length) > limit {
			return nil, fmt.Errorf("item %d is outside of what contains it", id)
		}
		list = append(list, extent{start + int64(base+offset), int64(length)})
	}
	return list, nil
}

// readProperties reads the properties, and finds those of each item.
func (m *meta) readProperties(c *cursor) error {
	list, err := find(c.b, "ipco")
	if err != nil {
		return err
	}
	for x, err := range boxes(list) {
		if err != nil {
			return err
		}
		if len(m.properties) == maxProperties { // others have no index
			break
		}
		m.properties = append(m.properties, x)
	}
	b, err := find(c.b, "ipma")
	if err != nil || b == nil {
		return err
	}
	a := &cursor{b: b}
	version, flags := a.full()
	m.wide = flags&1 != 0
	size := 1
	if m.wide {
		size = 2
	}
	n := a.u32()
	if n > maxItems {
		return errItems
	}
	for range n {
		id := a.id(version > 0)
		entry := a.bytes(size * a.u8())
		if a.fail {
			break
		}
		if _, again := m.assigned[id]; !again {
			m.assigned[id] = entry
		}
	}
	return a.err("ipma")
}

// readReferences reads the references between items that matter to a photo.
func (m *meta) readReferences(c *cursor) error {
	version, _ := c.full()
	for x, err := range boxes(c.b) {
		if err != nil {
			return err
		}
		switch x.kind {
		case "dimg", "auxl", "prem":
		default:
			continue
		}
		if len(m.references) == maxItems {
			return errItems
		}
		r := &cursor{b: x.body}
		ref := reference{kind: x.kind, from: r.id(version > 0)}
		for range r.u16() {
			to := r.id(version > 0)
			if r.fail {
				break
			}
			ref.to = append(ref.to, to)
		}
		if err := r.err(x.kind); err != nil {
			return err
		}
		m.references = append(m.references, ref)
	}
	return nil
}

// inputs returns the items from which an item is derived.
func (m *meta) inputs(id uint32) []uint32 {
	for _, r := range m.references {
		if r.kind == "dimg" && r.from == id {
			return r.to
		}
	}
	return nil
}
