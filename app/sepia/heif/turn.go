package heif

import (
	"image"
	"math/big"
)

// turn is a rotation by quarters, clockwise, after left and right were exchanged if mirrored is true.
type turn struct {
	mirrored bool
	quarters int // 0 to 3
}

// exif has the orientation of Exif for each turn.
var exif = map[turn]int{{false, 0}: 1, {true, 0}: 2, {false, 2}: 3, {true, 2}: 4, {true, 3}: 5, {false, 1}: 6,
	{true, 1}: 7, {false, 3}: 8}

// rotate adds a rotation.
func (t *turn) rotate(quarters int) { t.quarters = (t.quarters + quarters) & 3 }

// mirror adds the exchange of left and right, or of top and bottom.
func (t *turn) mirror(topBottom bool) {
	t.mirrored, t.quarters = !t.mirrored, -t.quarters&3
	if topBottom {
		t.rotate(2)
	}
}

// stored returns the part of an unturned picture, of that size, which is r after the turn.
func (t turn) stored(r image.Rectangle, size image.Point) image.Rectangle {
	for i := t.quarters; i > 0; i-- { // undoes one quarter: what was x is now y
		height := size.Y // of the picture before this quarter, the width after it
		if i&1 == 0 {
			height = size.X
		}
		r = image.Rect(r.Min.Y, height-r.Max.X, r.Max.Y, height-r.Min.X)
	}
	if t.mirrored {
		r.Min.X, r.Max.X = size.X-r.Max.X, size.X-r.Min.X
	}
	return r
}

// apply adds a clean aperture, rotation or mirroring to what the photo has. An aperture without a meaning is ignored.
func (m *Image) apply(t *turn, x box) {
	c := cursor{b: x.body}
	switch x.kind {
	case "irot":
		t.rotate(-c.u8()) // the box has quarters counter-clockwise
	case "imir":
		t.mirror(c.u8()&1 == 0)
	case "clap":
		size := m.Crop.Size()
		turned := size
		if t.quarters&1 != 0 {
			turned.X, turned.Y = size.Y, size.X
		}
		if r := aperture(&c, turned); !r.Empty() {
			m.Crop = t.stored(r, size).Add(m.Crop.Min)
		}
	}
}

// aperture returns the part of a picture that the body of a clap box describes: its width, height and the distance of
// its centre from that of the picture, each as a fraction.
func aperture(c *cursor, size image.Point) image.Rectangle {
	var v [4]*big.Rat
	for i := range v {
		n, d := int64(int32(c.u32())), int64(c.u32())
		if d == 0 || c.fail {
			return image.Rectangle{}
		}
		v[i] = big.NewRat(n, d)
	}
	x0, x1 := span(v[0], v[2], size.X)
	y0, y1 := span(v[1], v[3], size.Y)
	if x0 >= x1 || y0 >= y1 {
		return image.Rectangle{}
	}
	return image.Rect(x0, y0, x1, y1)
}

// span returns where a length lies whose centre is offset from that of size. It rounds the start down and the length to
// the nearest, as libheif does.
func span(length, offset *big.Rat, size int) (from, to int) {
	half := big.NewRat(1, 2)
	start := new(big.Rat).Sub(new(big.Rat).SetInt64(int64(size)), length)
	start.Add(start.Mul(start, half), offset)
	n := floor(new(big.Rat).Add(length, half))
	at := floor(start)
	return int(min(max(at, 0), int64(size))), int(min(max(at+n, 0), int64(size)))
}

func floor(r *big.Rat) int64 {
	n := new(big.Int).Div(r.Num(), r.Denom()) // Euclidean: rounds down, as the denominator is positive
	return n.Int64()
}
