package heif

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// size returns the bytes of the coded data.
func (it Item) size() (n int64) {
	for _, e := range it.extents {
		n += e.len
	}
	return n
}

// Data returns the coded data of the picture, a part of the file if it is in one piece.
func (it Item) Data(file []byte) ([]byte, error) {
	var b []byte
	for i, e := range it.extents {
		if e.pos < 0 || e.len < 0 || e.pos > int64(len(file)) || e.len > int64(len(file))-e.pos {
			return nil, fmt.Errorf("the data of a picture: %w", io.ErrUnexpectedEOF)
		}
		part := file[e.pos : e.pos+e.len : e.pos+e.len]
		if i == 0 {
			b = part // appending to it allocates
			continue
		}
		if i == 1 {
			b = append(make([]byte, 0, it.size()), b...)
		}
		b = append(b, part...)
	}
	return b, nil
}

// written returns the code points for a file of this picture: those of the plane for an AVIF, so that its decoder makes
// RGB. A HEIC is declared as RGB, so that its decoder returns the samples, with Y, Cb and Cr as green, blue and red.
func (it Item) written() *CICP {
	if it.av1 {
		return it.cicp
	}
	const sRGB, curve, rgb = 1, 13, 0
	return &CICP{sRGB, curve, rgb, true}
}

// File returns a file of its own with only this picture: upright, opaque and without a profile. Its code
// points are those of written. file is the file of the photo.
func (it Item) File(file []byte) ([]byte, error) {
	data, err := it.Data(file)
	if err != nil {
		return nil, err
	}
	kind, config, brand := "hvc1", "hvcC", "heic"
	if it.av1 {
		kind, config, brand = "av01", "av1C", "avif"
	}
	channels := 3
	if it.chroma == Monochrome {
		channels = 1
	}
	properties := [][]byte{
		makeBox(config, it.config),
		makeBox("ispe", u32(0, uint32(it.Width), uint32(it.Height))),
		makeBox("pixi", u32(0), []byte{byte(channels)}, slices.Repeat([]byte{byte(it.depth)}, channels)),
	}
	if v := it.written(); v != nil {
		b := []byte("nclx")
		for _, n := range []uint16{v.Primaries, v.Transfer, v.Matrix} {
			b = binary.BigEndian.AppendUint16(b, n)
		}
		full := byte(0)
		if v.FullRange {
			full = 0x80
		}
		properties = append(properties, makeBox("colr", append(b, full)))
	}
	for _, x := range it.layers {
		properties = append(properties, makeBox(x.kind, x.body))
	}
	const essential = 0x80
	assigned := []byte{byte(len(properties))}
	for i := range properties {
		n := byte(i + 1)
		if i == 0 || i >= len(properties)-len(it.layers) && it.layers[i-len(properties)+len(it.layers)].kind != "a1lx" {
			n |= essential
		}
		assigned = append(assigned, n)
	}
	head := makeBox("ftyp", []byte(brand), u32(0), []byte("mif1"+brand+"miaf"))
	meta := func(at int) []byte {
		return makeBox("meta", u32(0),
			makeBox("hdlr", u32(0, 0), []byte("pict"), u32(0, 0, 0), []byte{0}),
			makeBox("pitm", u32(0), []byte{0, 1}),
			makeBox("iloc", u32(0), []byte{0x44, 0, 0, 1, 0, 1, 0, 0, 0, 1}, u32(uint32(at), uint32(len(data)))),
			makeBox("iinf", u32(0), []byte{0, 1},
				makeBox("infe", u32(2<<24), []byte{0, 1, 0, 0}, []byte(kind), []byte{0})),
			makeBox("iprp", makeBox("ipco", properties...),
				makeBox("ipma", u32(0, 1), []byte{0, 1}, assigned)))
	}
	const boxHead = 8
	at := len(head) + len(meta(0)) + boxHead
	b := append(slices.Grow(head, at+len(data)), meta(at)...)
	b = append(b, u32(uint32(boxHead+len(data)))...)
	return append(append(b, "mdat"...), data...), nil
}

// makeBox returns a box with a body of parts.
func makeBox(kind string, parts ...[]byte) []byte {
	b := append(u32(0), kind...)
	for _, p := range parts {
		b = append(b, p...)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return b
}

// u32 returns numbers of 4 bytes.
func u32(list ...uint32) (b []byte) {
	for _, v := range list {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}
