package heif

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"slices"
)

// part has the picture of an item: a plane, its turn and its crop.
type part struct {
	plane Plane
	properties
	turns []box
	alpha uint32 // the item that has its transparency; 0 if there is none
	prem  bool
}

// photo returns the photo whose primary item is known.
func (m *meta) photo() (*Image, error) {
	aux := m.auxiliary()
	p, err := m.part(m.primary, aux, 0)
	if err != nil {
		return nil, err
	}
	img := &Image{Plane: p.plane, ICC: p.icc, Premultiplied: p.prem}
	if img.Alpha, err = m.alpha(p, aux); err != nil {
		return nil, err
	}
	return img, img.finish(p.turns)
}

// finish applies the turns, and sets what follows from the planes.
func (m *Image) finish(turns []box) error {
	m.Format = HEIC
	if m.Plane.Tiles[0].av1 {
		m.Format = AVIF
	}
	m.Crop = image.Rect(0, 0, m.Plane.Width, m.Plane.Height)
	var t turn
	for _, x := range turns {
		m.apply(&t, x)
	}
	m.Orientation = exif[t]
	m.Width, m.Height = m.Crop.Dx(), m.Crop.Dy()
	if t.quarters&1 != 0 {
		m.Width, m.Height = m.Height, m.Width
	}
	total := int64(0)
	for _, p := range []*Plane{&m.Plane, m.Alpha} {
		if p == nil {
			continue
		}
		for _, it := range p.Tiles {
			total += it.size()
		}
	}
	if total > MaxBytes {
		return errData
	}
	return nil
}

// part returns what an item shows. Items that are derived from an item without a change are followed; of a photo with a
// gain map, an item of the kind tmap, the picture without it is taken.
func (m *meta) part(id uint32, aux map[uint32][]uint32, depth int) (p part, err error) {
	props, err := m.propertiesOf(id)
	if err != nil {
		return part{}, err
	}
	switch kind := m.kinds[id]; kind {
	case "hvc1", "hev1", "av01":
		p.properties = props
		p.plane, err = m.single(id, props)
	case "grid":
		p, err = m.grid(id, props)
	case "iden", "tmap":
		inputs := m.inputs(id)
		if len(inputs) == 0 || kind == "iden" && len(inputs) != 1 {
			return part{}, fmt.Errorf("item %d is derived from %d items", id, len(inputs))
		}
		if depth == maxDerivations {
			return part{}, errors.New("items are derived from each other too often")
		}
		p, err = m.part(inputs[0], aux, depth+1)
		if p.icc == nil {
			p.icc = props.icc
		}
	case "":
		err = fmt.Errorf("item %d is missing", id)
	default:
		err = unsupported(fmt.Sprintf("a picture of the kind %q", kind))
	}
	if err != nil {
		return part{}, err
	}
	p.turns = append(p.turns, props.turns...)
	if a := m.alphaOf(id, aux); a != 0 {
		p.alpha, p.prem = a, m.premultiplied(id, a)
	}
	return p, nil
}

// single returns the plane of a coded item.
func (m *meta) single(id uint32, p properties) (Plane, error) {
	extents, err := m.extents(id)
	if err != nil {
		return Plane{}, err
	}
	want := "hvcC"
	if m.kinds[id] == "av01" {
		want = "av1C"
	}
	if p.config.kind != want {
		return Plane{}, fmt.Errorf("item %d has no configuration of its codec", id)
	}
	it, err := p.coded(extents)
	if err != nil {
		return Plane{}, err
	}
	return onePlane(it), nil
}

// onePlane returns a plane of one picture.
func onePlane(it Item) Plane {
	if it.cicp == nil && !it.av1 {
		it.cicp = readHEVC(it.config).cicp
	}
	return Plane{Width: it.Width, Height: it.Height, Columns: 1, Rows: 1, TileWidth: it.Width, TileHeight: it.Height,
		Tiles: []Item{it}, Depth: it.depth, Chroma: it.chroma, CICP: it.cicp}
}

// grid returns the plane of a grid. All tiles have the same size, depth and chroma, as the format demands. The profile
// and tags of the grid count before those of its tiles.
func (m *meta) grid(id uint32, p properties) (part, error) {
	b, err := m.small(id)
	if err != nil {
		return part{}, err
	}
	c := cursor{b: b}
	c.u8()
	size := 2
	if flags := c.u8(); flags&1 != 0 {
		size = 4
	}
	rows, columns := 1+c.u8(), 1+c.u8()
	width, height := c.number(size), c.number(size)
	if err := c.err("grid"); err != nil {
		return part{}, err
	}
	inputs := m.inputs(id)
	switch n := rows * columns; {
	case n > maxTiles:
		return part{}, unsupported(fmt.Sprintf("%d tiles; %d are supported", n, maxTiles))
	case n != len(inputs):
		return part{}, fmt.Errorf("a grid of %d x %d has %d tiles", columns, rows, len(inputs))
	case width == 0 || height == 0 || width > maxSide || height > maxSide:
		return part{}, fmt.Errorf("a grid has the size %d x %d", width, height)
	}
	plane := Plane{Width: int(width), Height: int(height), Columns: columns, Rows: rows}
	for i, input := range inputs {
		tile, err := m.tile(input)
		if err != nil {
			return part{}, fmt.Errorf("tile %d: %w", i, err)
		}
		if p.icc == nil {
			p.icc = tile.icc
		}
		plane.Tiles = append(plane.Tiles, tile.plane.Tiles...)
	}
	first := plane.Tiles[0]
	if p.cicp == nil {
		p.cicp = first.cicp
	}
	for i := range plane.Tiles {
		it := &plane.Tiles[i]
		if it.Width != first.Width || it.Height != first.Height || it.depth != first.depth ||
			it.chroma != first.chroma || it.av1 != first.av1 {
			return part{}, fmt.Errorf("tile %d differs from the first in size, depth, chroma or codec", i)
		}
		it.cicp = p.cicp
	}
	plane.TileWidth, plane.TileHeight = first.Width, first.Height
	plane.Depth, plane.Chroma, plane.CICP = first.depth, first.chroma, p.cicp
	if !covers(first.Width, columns, plane.Width) || !covers(first.Height, rows, plane.Height) {
		return part{}, fmt.Errorf("a grid of %d x %d pixels has %d x %d tiles of %d x %d pixels", width, height,
			columns, rows, first.Width, first.Height)
	}
	return part{plane: plane, properties: p}, nil
}

// covers reports whether n tiles are as long as the whole, with no tile outside of it.
func covers(tile, n, whole int) bool { return tile*n >= whole && tile*(n-1) < whole }

// tile returns a tile of a grid, which is a coded item that is not turned.
func (m *meta) tile(id uint32) (part, error) {
	switch kind := m.kinds[id]; kind {
	case "hvc1", "hev1", "av01":
	case "":
		return part{}, fmt.Errorf("item %d is missing", id)
	default:
		return part{}, unsupported(fmt.Sprintf("a tile of the kind %q", kind))
	}
	p, err := m.part(id, nil, maxDerivations)
	if err == nil && len(p.turns) > 0 {
		err = unsupported("a tile that is turned or cropped by itself")
	}
	return p, err
}

// small returns the data of an item that is a description: in the box idat, or, as libavif writes it, at the start of
// mdat.
func (m *meta) small(id uint32) ([]byte, error) {
	extents, err := m.extents(id)
	if err != nil {
		return nil, err
	}
	const longest = 12 // of a grid
	if len(extents) != 1 || extents[0].len > longest {
		return nil, fmt.Errorf("item %d is not the description of a grid", id)
	}
	e := extents[0]
	if at := e.pos - m.dataPos; at >= 0 && at+e.len <= int64(len(m.data)) {
		return m.data[at:][:e.len], nil
	}
	return m.fetch(e)
}

// alphaKinds has the names of transparency.
var alphaKinds = []string{"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", "urn:mpeg:hevc:2015:auxid:1"}

// auxiliary returns the auxiliary items of each item.
func (m *meta) auxiliary() map[uint32][]uint32 {
	list := map[uint32][]uint32{}
	for _, r := range m.references {
		if r.kind == "auxl" {
			for _, to := range r.to {
				list[to] = append(list[to], r.from)
			}
		}
	}
	return list
}

// alphaOf returns the item that has the transparency of another, 0 if there is none. Damaged auxiliary items are none.
func (m *meta) alphaOf(id uint32, aux map[uint32][]uint32) uint32 {
	list := aux[id]
	for _, a := range list[:min(len(list), maxAuxiliary)] {
		if p, err := m.propertiesOf(a); err == nil && slices.Contains(alphaKinds, p.aux) {
			return a
		}
	}
	return 0
}

// premultiplied reports whether the colours of an item are multiplied by its alpha.
func (m *meta) premultiplied(id, alpha uint32) bool {
	return slices.ContainsFunc(m.references, func(r reference) bool {
		return r.kind == "prem" && r.from == id && slices.Contains(r.to, alpha)
	})
}

// alpha returns the plane with the transparency of p. It may have turns of its own, which must be those of the colours.
func (m *meta) alpha(p part, aux map[uint32][]uint32) (*Plane, error) {
	if p.alpha == 0 {
		return nil, nil
	}
	a, err := m.part(p.alpha, nil, maxDerivations-1)
	if err != nil {
		return nil, fmt.Errorf("transparency: %w", err)
	}
	same := slices.EqualFunc(a.turns, p.turns, func(x, y box) bool {
		return x.kind == y.kind && bytes.Equal(x.body, y.body)
	})
	if len(a.turns) > 0 && !same {
		return nil, unsupported("transparency that is turned differently from its colours")
	}
	if a.plane.Width != p.plane.Width || a.plane.Height != p.plane.Height {
		return nil, unsupported(fmt.Sprintf("transparency of %d x %d pixels for colours of %d x %d", a.plane.Width,
			a.plane.Height, p.plane.Width, p.plane.Height))
	}
	return &a.plane, nil
}
