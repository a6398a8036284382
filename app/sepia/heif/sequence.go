package heif

import (
	"errors"
	"fmt"
)

// sampleEntryHead is the length of what a sample entry of pictures has before its boxes.
const sampleEntryHead = 78

// parseMovie returns the first key frame of the first track of pictures that the body of a box moov describes.
func parseMovie(b []byte) (*Image, error) {
	for x, err := range boxes(b) {
		if err != nil {
			return nil, err
		}
		if x.kind != "trak" {
			continue
		}
		handler, err := descend(x.body, "mdia", "hdlr")
		if err != nil {
			return nil, err
		}
		c := cursor{b: handler}
		c.u32()
		c.u32()
		if kind := string(c.bytes(4)); kind != "pict" && kind != "vide" {
			continue
		}
		table, err := descend(x.body, "mdia", "minf", "stbl")
		if err != nil {
			return nil, err
		}
		return parseTrack(table)
	}
	return nil, errNoPhoto
}

// parseTrack returns the first key frame of a track. The matrix of a track, which turns videos, is not used in
// sequences of pictures.
func parseTrack(table []byte) (*Image, error) {
	p, err := sampleEntry(table)
	if err != nil {
		return nil, err
	}
	at, err := firstSample(table)
	if err != nil {
		return nil, err
	}
	it, err := p.coded([]extent{at})
	if err != nil {
		return nil, err
	}
	img := &Image{Plane: onePlane(it), ICC: p.icc, Sequence: true}
	return img, img.finish(p.turns)
}

// sampleEntry returns the properties of the pictures of a track.
func sampleEntry(table []byte) (p properties, err error) {
	b, err := find(table, "stsd")
	if err != nil {
		return p, err
	}
	if len(b) < 8 {
		return p, errors.New("a track has no description")
	}
	for x, err := range boxes(b[8:]) {
		if err != nil {
			return p, err
		}
		switch x.kind {
		case "hvc1", "hev1", "av01":
		default:
			return p, unsupported(fmt.Sprintf("a sequence of the kind %q", x.kind))
		}
		c := cursor{b: x.body}
		c.bytes(24)
		p.width, p.height = uint32(c.u16()), uint32(c.u16())
		c.bytes(sampleEntryHead - 28)
		if c.fail {
			break
		}
		for y, err := range boxes(c.b) {
			if err != nil {
				return p, err
			}
			if y.kind == "ispe" {
				continue
			}
			if _, err := p.add(y); err != nil {
				return p, err
			}
		}
		if p.config.kind != "" && (p.config.kind == "av1C") == (x.kind == "av01") {
			return p, nil
		}
		break
	}
	return p, errors.New("a track has no configuration of its codec")
}

// firstSample returns the place of the first key frame of a track, the first sample if the track does not say.
func firstSample(table []byte) (extent, error) {
	var b [4][]byte
	for i, kind := range []string{"stss", "stsz", "stsc", "stco"} {
		var err error
		if b[i], err = find(table, kind); err != nil {
			return extent{}, err
		}
	}
	sample := uint32(1)
	if c := (cursor{b: b[0]}); b[0] != nil {
		c.full()
		if n := c.u32(); n > 0 {
			sample = c.u32()
		}
	}
	sizes := cursor{b: b[1]}
	sizes.full()
	fixed, n := sizes.u32(), sizes.u32()
	if sample == 0 || sample > n {
		return extent{}, errors.New("a track has no pictures")
	}
	sizeOf := func(sample uint32) int64 { // of those up to the key frame, in order
		if fixed != 0 {
			return int64(fixed)
		}
		return int64(sizes.u32())
	}
	chunk, first := chunkOf(b[2], sample)
	offset, err := chunkOffset(table, b[3], chunk)
	if err != nil {
		return extent{}, err
	}
	e := extent{pos: offset}
	for i := uint32(1); i < sample && !sizes.fail; i++ {
		if n := sizeOf(i); i >= first {
			e.pos += n
		}
	}
	e.len = sizeOf(sample)
	return e, sizes.err("stsz")
}

// chunkOf returns the chunk that has a sample, and the first sample of that chunk; both count from 1.
func chunkOf(stsc []byte, sample uint32) (chunk, first uint32) {
	c := cursor{b: stsc}
	c.full()
	n := c.u32()
	at := uint64(1) // the first sample of the run of chunks
	from, per := uint64(c.u32()), uint64(max(c.u32(), 1))
	c.u32()
	for i := uint32(1); i < n && !c.fail; i++ {
		next, following := uint64(c.u32()), uint64(max(c.u32(), 1))
		c.u32()
		if next <= from || at+(next-from)*per > uint64(sample) {
			break
		}
		at += (next - from) * per
		from, per = next, following
	}
	k := (uint64(sample) - at) / per
	return uint32(from + k), uint32(at + k*per)
}

// chunkOffset returns the position of a chunk in the file.
func chunkOffset(table, stco []byte, chunk uint32) (int64, error) {
	size := 4
	if stco == nil {
		var err error
		if stco, err = find(table, "co64"); err != nil {
			return 0, err
		}
		size = 8
	}
	c := cursor{b: stco}
	c.full()
	n := c.u32()
	if chunk == 0 || chunk > n || int64(chunk)*int64(size) > int64(len(c.b)) {
		return 0, errors.New("a track has no place for its first picture")
	}
	c.bytes(int(chunk-1) * size)
	const most = 1 << 61
	offset := c.number(size)
	if offset > most {
		return 0, errors.New("a track is outside of the file")
	}
	return int64(offset), nil
}
