package heif_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"imagery/app/sepia/heif"
)

// put appends big endian numbers and strings.
func put(parts ...any) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		if s, ok := p.(string); ok {
			p = []byte(s)
		}
		if err := binary.Write(&b, binary.BigEndian, p); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

func makeBox(kind string, parts ...any) []byte {
	body := put(parts...)
	return put(uint32(8+len(body)), kind, body)
}

// phone is a HEIC as phones write it: item 1 is a grid of tiles, which all show the same picture. Their data is last.
type phone struct {
	columns, rows, tiles int
	width, height        uint32
	kind                 string // of item 1
	inputs               []uint16
	turns                []byte   // property boxes of the grid
	extra                [][]byte // boxes in meta
	method               uint16   // of the tiles
	length               uint32   // of the data of a tile; 0 is the true one
}

// build takes the picture of another file.
func (p phone) build(t testing.TB) []byte {
	source := sample(t, "thumb.heic")
	m, err := heif.Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	data, err := m.Plane.Tiles[0].Data(source)
	if err != nil {
		t.Fatal(err)
	}
	from := bytes.Index(source, []byte("hvcC")) - 4
	config := source[from:][:binary.BigEndian.Uint32(source[from:])]
	infos, places, assigned := []byte{}, []byte{}, []byte{}
	inputs := p.inputs
	head := makeBox("ftyp", "heic", uint32(0), "mif1heic")
	meta := func(at uint32) []byte {
		infos = makeBox("infe", uint32(2<<24), uint16(1), uint16(0), p.kind, "\x00")
		places = put(uint16(1), uint16(1), uint16(0), uint16(1), uint32(0), uint32(8))
		assigned = put(uint16(1), uint8(1), uint8(3))
		inputs = p.inputs
		for i := range p.tiles {
			id := uint16(i + 2)
			infos = append(infos, makeBox("infe", uint32(2<<24), id, uint16(0), "hvc1", "\x00")...)
			n := uint32(len(data))
			if p.length != 0 {
				n = p.length
			}
			places = append(places, put(id, p.method, uint16(0), uint16(1), at, n)...)
			assigned = append(assigned, put(id, []byte{2, 0x81, 2})...)
			if p.inputs == nil {
				inputs = append(inputs, id)
			}
		}
		return makeBox("meta", uint32(0),
			makeBox("pitm", uint32(0), uint16(1)),
			makeBox("iinf", uint32(0), uint16(p.tiles+1), infos),
			makeBox("iloc", uint32(1<<24), uint16(0x4400), uint16(p.tiles+1), places),
			makeBox("iprp", makeBox("ipco", config, makeBox("ispe", uint32(0), uint32(64), uint32(64)),
				makeBox("irot", p.turns)),
				makeBox("ipma", uint32(0), uint32(p.tiles+1), assigned)),
			makeBox("iref", uint32(0), makeBox("dimg", uint16(1), uint16(len(inputs)), inputs)),
			makeBox("idat", []byte{0, 0, byte(p.rows - 1), byte(p.columns - 1)}, uint16(p.width), uint16(p.height)),
			bytes.Join(p.extra, nil))
	}
	at := uint32(len(head) + len(meta(0)) + 8)
	return put(head, meta(at), makeBox("mdat", data))
}

var grid = phone{columns: 3, rows: 2, tiles: 6, width: 150, height: 100, kind: "grid", turns: []byte{3}}

// TestPhoneGrid reads a grid in HEIC that is turned.
func TestPhoneGrid(t *testing.T) {
	m, err := heif.Parse(grid.build(t))
	if err != nil {
		t.Fatal(err)
	}
	if m.Width != 100 || m.Height != 150 || m.Orientation != 6 || len(m.Plane.Tiles) != 6 || m.Plane.TileWidth != 64 {
		t.Errorf("got %+v", m)
	}
}

// TestHostile: files that lie are refused with a reason that names the lie.
func TestHostile(t *testing.T) {
	change := func(f func(*phone)) []byte {
		p := grid
		f(&p)
		return p.build(t)
	}
	nested := []byte{}
	for range 1000 {
		nested = makeBox("dinf", nested)
	}
	thumb := sample(t, "thumb.heic")
	head := bytes.Index(thumb, []byte("meta")) - 4
	for name, c := range map[string]struct {
		file []byte
		want string // "" if it is a photo
	}{
		"nested":      {change(func(p *phone) { p.extra = [][]byte{nested} }), ""},
		"60,000":      {change(func(p *phone) { p.columns, p.rows = 256, 235 }), "60160 tiles"},
		"too few":     {change(func(p *phone) { p.columns = 4 }), "has 6 tiles"},
		"too small":   {change(func(p *phone) { p.width = 200 }), "tiles of 64 x 64"},
		"outside":     {change(func(p *phone) { p.width = 128 }), "tiles of 64 x 64"},
		"itself":      {change(func(p *phone) { p.inputs = []uint16{1, 1, 1, 1, 1, 1} }), `kind "grid"`},
		"cycle":       {change(func(p *phone) { p.kind, p.inputs = "iden", []uint16{1} }), "too often"},
		"overlay":     {change(func(p *phone) { p.kind = "iovl" }), `kind "iovl"`},
		"method 2":    {change(func(p *phone) { p.method = 2 }), "parts of other items"},
		"idat":        {change(func(p *phone) { p.method = 1 }), "outside"},
		"shared":      {change(func(p *phone) { p.length = heif.MaxBytes / 5 }), "coded data"},
		"beyond":      {change(func(p *phone) { p.length = 1 << 20 }), "EOF"},
		"length 0":    {bytes.Replace(thumb, thumb[head:][:8], []byte("\x00\x00\x00\x00meta"), 1), "4 MiB"},
		"length 2^63": {put(thumb[:head], uint32(1), "meta", uint64(1)<<63), "invalid length"},
		"profile":     {put(makeBox("ftyp", "heic", uint32(0)), makeBox("meta", make([]byte, 20<<20))), "4 MiB"},
		"no photo":    {makeBox("ftyp", "heic", uint32(0)), "no picture"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := heif.Parse(c.file)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestManyEntries: boxes that declare 2^32 entries, or have a million, take memory as their bytes do.
func TestManyEntries(t *testing.T) {
	million := make([]byte, 3<<20)
	for name, b := range map[string][]byte{
		"iloc": makeBox("iloc", uint32(2<<24), uint16(0), uint32(math.MaxUint32), million),
		"ipma": makeBox("iprp", makeBox("ipco"), makeBox("ipma", uint32(0), uint32(1_000_000), million)),
		"iref": makeBox("iref", uint32(0), slices.Repeat(makeBox("auxl", uint16(1), uint16(1), uint16(1)), 1<<17)),
		"iinf": makeBox("iinf", uint32(0), uint16(0), slices.Repeat(makeBox("infe", uint32(2<<24), uint16(1),
			uint16(0), "hvc1"), 1<<17)),
	} {
		t.Run(name, func(t *testing.T) {
			primary := makeBox("pitm", uint32(0), uint16(1))
			file := put(makeBox("ftyp", "heic", uint32(0)), makeBox("meta", uint32(0), primary, b))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := heif.Read(bytes.NewReader(file))
			runtime.ReadMemStats(&after)
			if err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("got %v, want a refusal", err)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 8*uint64(len(file)) {
				t.Errorf("%d bytes of memory for a file of %d", n, len(file))
			}
		})
	}
}
