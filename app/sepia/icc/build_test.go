package icc_test

import (
	"encoding/binary"
	"math"
)

// tag is an element of a profile.
type tag struct {
	name string
	data []byte
}

// buildProfile returns a profile of a class (such as mntr), colour space and connection space.
func buildProfile(class, space, pcs string, tags ...tag) []byte {
	b := make([]byte, 128, 4096)
	b[8] = 4
	copy(b[12:], class)
	copy(b[16:], space)
	copy(b[20:], pcs)
	copy(b[36:], "acsp")
	copy(b[68:], join(fixed(0.9642), fixed(1), fixed(0.8249)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(tags)))
	offset := len(b) + 12*len(tags)
	for _, t := range tags {
		b = append(b, t.name...)
		b = binary.BigEndian.AppendUint32(b, uint32(offset))
		b = binary.BigEndian.AppendUint32(b, uint32(len(t.data)))
		offset += len(pad(t.data))
	}
	for _, t := range tags {
		b = append(b, pad(t.data)...)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return b
}

// pad returns b with zeros up to a multiple of four bytes.
func pad(b []byte) []byte { return append(b[:len(b):len(b)], make([]byte, -len(b)&3)...) }

func join(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// fixed returns a number of type s15Fixed16.
func fixed(v float64) []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(int32(math.Round(v*65536))))
}

// xyz returns an element of type XYZ.
func xyz(x, y, z float64) []byte {
	return join([]byte("XYZ \x00\x00\x00\x00"), fixed(x), fixed(y), fixed(z))
}

// para returns a parametric curve.
func para(kind byte, values ...float64) []byte {
	b := []byte("para\x00\x00\x00\x00\x00" + string(kind) + "\x00\x00")
	for _, v := range values {
		b = append(b, fixed(v)...)
	}
	return b
}

// curv returns a curve with entries of 16 bits.
func curv(entries ...uint16) []byte {
	b := binary.BigEndian.AppendUint32([]byte("curv\x00\x00\x00\x00"), uint32(len(entries)))
	for _, v := range entries {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

// sampled returns a curve with n entries of a function.
func sampled(n int, f func(float64) float64) []byte {
	entries := make([]uint16, n)
	for i := range entries {
		entries[i] = uint16(math.Round(f(float64(i)/float64(n-1)) * 65535))
	}
	return curv(entries...)
}

// srgbCurve is the curve of sRGB.
var srgbCurve = para(3, 2.4, 1/1.055, 0.055/1.055, 1/12.92, 0.04045)

// rgbTags returns the tags of a matrix profile, of the colourants by rows and one curve.
func rgbTags(m [9]float64, curve []byte) []tag {
	return []tag{
		{"rXYZ", xyz(m[0], m[3], m[6])}, {"gXYZ", xyz(m[1], m[4], m[7])}, {"bXYZ", xyz(m[2], m[5], m[8])},
		{"rTRC", curve}, {"gTRC", curve}, {"bTRC", curve},
	}
}

// rgbProfile returns a matrix profile.
func rgbProfile(m [9]float64, curve []byte) []byte {
	return buildProfile("mntr", "RGB ", "XYZ ", rgbTags(m, curve)...)
}

// The colourants of known spaces under D50, by rows.
var (
	srgbColourants     = [9]float64{0.43607, 0.38515, 0.14307, 0.22249, 0.71687, 0.06061, 0.01392, 0.09708, 0.71410}
	p3Colourants       = [9]float64{0.51512, 0.29198, 0.15710, 0.24120, 0.69225, 0.06657, -0.00105, 0.04189, 0.78407}
	adobeColourants    = [9]float64{0.60974, 0.20528, 0.14919, 0.31111, 0.62567, 0.06322, 0.01947, 0.06087, 0.74457}
	prophotoColourants = [9]float64{0.79767, 0.13519, 0.03134, 0.28804, 0.71188, 0.00009, 0, 0, 0.82489}
	rec2020Colourants  = [9]float64{0.67348, 0.16565, 0.12508, 0.27904, 0.67535, 0.04561, -0.00194, 0.02998, 0.79686}
)
