package heif

import (
	"errors"
	"fmt"
	"io"
)

// properties has those properties of an item that matter to its picture.
type properties struct {
	width, height uint32 // 0 without ispe
	config        box    // hvcC or av1C
	depth         int    // of pixi; 0 without
	icc           []byte
	cicp          *CICP
	aux           string // what an auxiliary item is
	turns         []box  // clap, irot and imir in the order of their application
	layers        []box  // a1op, lsel and a1lx
}

// harmless has properties that may be marked as essential and do not change pixels.
var harmless = map[string]bool{"pasp": true, "clli": true, "mdcv": true, "cclv": true, "amve": true, "rloc": true,
	"udes": true, "altt": true, "free": true, "skip": true}

// propertiesOf returns the properties of an item. An essential property that is unknown is an error: without it the
// picture would be wrong.
func (m *meta) propertiesOf(id uint32) (p properties, err error) {
	c := cursor{b: m.assigned[id]}
	for len(c.b) > 0 {
		var index int
		var essential bool
		if m.wide {
			v := c.u16()
			index, essential = int(v&0x7fff), v&0x8000 != 0
		} else {
			v := c.u8()
			index, essential = v&0x7f, v&0x80 != 0
		}
		if index == 0 {
			continue
		}
		if index > len(m.properties) {
			return p, fmt.Errorf("item %d has property %d of %d", id, index, len(m.properties))
		}
		x := m.properties[index-1]
		known, err := p.add(x)
		if err != nil {
			return p, err
		}
		if essential && !known && !harmless[x.kind] {
			return p, unsupported(fmt.Sprintf("the essential property %q", x.kind))
		}
	}
	return p, nil
}

// add stores a property if it matters. The first of several counts, except for turns.
func (p *properties) add(x box) (known bool, err error) {
	c := cursor{b: x.body}
	switch x.kind {
	case "ispe":
		c.full()
		if w, h := c.u32(), c.u32(); p.width == 0 {
			p.width, p.height = w, h
		}
	case "hvcC", "av1C":
		if p.config.kind == "" {
			p.config = x
		}
	case "pixi":
		c.full()
		for range c.u8() {
			p.depth = max(p.depth, c.u8())
		}
	case "colr":
		p.addColour(x.body)
		return true, nil
	case "auxC":
		c.full()
		for i, b := range c.b {
			if b == 0 {
				p.aux = string(c.b[:i])
				break
			}
		}
	case "clap", "irot", "imir":
		p.turns = append(p.turns, x)
	case "a1op", "lsel", "a1lx":
		p.layers = append(p.layers, x)
	default:
		return false, nil
	}
	return true, c.err(x.kind)
}

// addColour stores a colour profile or colour tags. Others, and damaged ones, are ignored.
func (p *properties) addColour(b []byte) {
	c := cursor{b: b}
	switch kind := string(c.bytes(4)); kind {
	case "prof", "rICC":
		if p.icc == nil && len(c.b) > 0 {
			p.icc = c.b
		}
	case "nclx":
		v := &CICP{c.u16(), c.u16(), c.u16(), c.u8()&0x80 != 0}
		if !c.fail && p.cicp == nil {
			p.cicp = v
		}
	}
}

// coded returns a picture with the properties, in whose place of the file extents are.
func (p properties) coded(extents []extent) (Item, error) {
	it := Item{Width: int(p.width), Height: int(p.height), extents: extents, config: p.config.body, layers: p.layers,
		av1: p.config.kind == "av1C", cicp: p.cicp}
	if p.width == 0 || p.height == 0 || p.width > maxSide || p.height > maxSide {
		return Item{}, fmt.Errorf("a picture has the size %d x %d", p.width, p.height)
	}
	var total int64
	for _, e := range extents {
		if total += e.len; total > MaxBytes || e.len > MaxBytes {
			return Item{}, errData
		}
	}
	if total == 0 {
		return Item{}, errors.New("a picture has no data")
	}
	if len(it.config) > maxConfig {
		return Item{}, errors.New("hvcC or av1C is too long")
	}
	c := cursor{b: it.config}
	if it.av1 {
		// marker and version, profile and level, then tier, two bits of the depth, monochrome, subsampling x and y
		v := c.bytes(4)[2]
		it.depth = 8 + int(v>>6&1)*2*(1+int(v>>5&1))
		switch {
		case v>>4&1 != 0:
			it.chroma = Monochrome
		case v>>2&3 == 3:
			it.chroma = Chroma420
		case v>>2&3 == 2:
			it.chroma = Chroma422
		default:
			it.chroma = Chroma444
		}
	} else {
		v := c.bytes(23)[16:] // after the profile, level, segmentation and parallelism
		it.chroma, it.depth = Chroma(v[0]&3), 8+int(max(v[1]&7, v[2]&7))
	}
	if err := c.err("hvcC or av1C"); err != nil {
		return Item{}, err
	}
	return it, nil
}

// errData is returned for more coded data than MaxBytes.
var errData = unsupported(fmt.Sprintf("more than %d MiB of coded data", MaxBytes>>20))

// header reads the header of the coded picture, from its configuration or, for AV1, from the start of its data.
func (it Item) header(file []byte) (coded, error) {
	if !it.av1 {
		return readHEVC(it.config), nil
	}
	const fixed = 4
	if c := readAV1(it.config[fixed:]); c.width != 0 {
		return c, nil
	}
	e := it.extents[0]
	if e.pos+e.len > int64(len(file)) {
		return coded{}, fmt.Errorf("the data of a picture: %w", io.ErrUnexpectedEOF)
	}
	return readAV1(file[e.pos:][:min(e.len, maxConfig)]), nil
}
