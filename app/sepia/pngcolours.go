package sepia

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"io"

	"imagery/app/sepia/icc"
)

// colourTags has what the small chunks of a PNG say about its colours.
type colourTags struct {
	cicp                [4]byte // primaries, transfer function, matrix and range, of ITU-T H.273
	hasCICP, sRGB       bool
	hasGamma, hasChroma bool
	gamma               float64
	chroma              [8]float64 // x and y of white, red, green and blue
}

// codePoints returns the conversion of a cICP chunk. ok is false if there is none or browsers ignore it.
func (g *colourTags) codePoints() (t *icc.Transform, ok bool) {
	const rgb, fullRange = 0, 1
	if !g.hasCICP || g.cicp[2] != rgb || g.cicp[3] != fullRange {
		return nil, false
	}
	t, err := icc.CICP(uint16(g.cicp[0]), uint16(g.cicp[1]))
	return t, err == nil
}

// gammaAndChroma returns the conversion of the chunks gAMA and cHRM, which count only without an sRGB chunk.
func (g *colourTags) gammaAndChroma() *icc.Transform {
	if g.sRGB || !g.hasGamma {
		return nil
	}
	chroma := &g.chroma
	if !g.hasChroma {
		chroma = nil
	}
	t, err := icc.Gamma(g.gamma, chroma)
	if err != nil {
		return nil
	}
	return t
}

// tagSize is the maximum length of the chunks of colourTags with their checksum, in bytes.
const tagSize = 8*4 + 4

// addChunk reads a chunk of a PNG that describes colours and is n bytes long. data is what is at pos, up to tagSize
// bytes. As in libpng, the first chunk of a type counts, and none with a wrong checksum.
func (c *colours) addChunk(name string, data []byte, pos, n int64) {
	if name == "iCCP" {
		if len(c.profile) == 0 {
			c.packed = true
			c.setProfile(span{pos - 4, n + 8})
		}
		return
	}
	if int64(len(data)) < n+4 {
		return
	}
	sum := crc32.Update(crc32.ChecksumIEEE([]byte(name)), crc32.IEEETable, data[:n])
	if sum != binary.BigEndian.Uint32(data[n:]) {
		return
	}
	g, number := &c.tags, func(i int) float64 { return float64(binary.BigEndian.Uint32(data[4*i:])) / 100_000 }
	switch {
	case name == "cICP" && n == 4 && !g.hasCICP:
		g.hasCICP, g.cicp = true, [4]byte(data)
	case name == "sRGB" && n == 1:
		g.sRGB = true
	case name == "gAMA" && n == 4 && !g.hasGamma:
		g.hasGamma, g.gamma = true, number(0)
	case name == "cHRM" && n == 32 && !g.hasChroma:
		g.hasChroma = true
		for i := range g.chroma {
			g.chroma[i] = number(i)
		}
	}
}

// settle drops what does not count: a valid cICP chunk precedes an iCCP chunk, that sRGB, and that gAMA and cHRM.
func (c *colours) settle() {
	t, ok := c.tags.codePoints()
	switch {
	case ok:
		c.profile = nil
	case len(c.profile) > 0:
		return
	default:
		t = c.tags.gammaAndChroma()
	}
	if t == nil {
		c.tags = colourTags{}
	}
}

// deflateRatio is the largest factor by which zlib compresses, inflateMemory what decompression takes, in bytes.
const (
	deflateRatio  = 1032
	inflateMemory = 128 << 10
)

// unpack returns the ICC profile of an iCCP chunk, given with its type and checksum. It returns nil if the chunk is
// damaged or the profile too large.
func unpack(chunk []byte) []byte {
	end := len(chunk) - 4
	if end < 4 || crc32.ChecksumIEEE(chunk[:end]) != binary.BigEndian.Uint32(chunk[end:]) {
		return nil
	}
	_, data, ok := bytes.Cut(chunk[4:end], []byte{0}) // the name
	const deflate = 0
	if !ok || len(data) == 0 || data[0] != deflate {
		return nil
	}
	// Twice, to allocate what it takes and no more.
	n, err := inflate(io.Discard, data[1:])
	if err != nil || n > maxProfile {
		return nil
	}
	var profile bytes.Buffer
	profile.Grow(int(n) + bytes.MinRead)
	if _, err := inflate(&profile, data[1:]); err != nil {
		return nil
	}
	return profile.Bytes()
}

// inflate writes decompressed data, but not much more than maxProfile, and returns its length.
func inflate(w io.Writer, data []byte) (int64, error) {
	z, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return 0, err
	}
	return io.Copy(w, io.LimitReader(z, maxProfile+1))
}
