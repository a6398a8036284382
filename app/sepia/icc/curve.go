package icc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// curve maps a value of one channel to another, both from 0 to 1.
type curve interface {
	at(x float64) float64
}

// curveStage applies a curve to each channel.
type curveStage []curve

func (s curveStage) apply(v *[4]float64) {
	for i, c := range s {
		v[i] = c.at(v[i])
	}
}

// table8 and table16 interpolate between the entries of a profile, which stay where they are.
type (
	table8  []byte
	table16 []byte
)

func (t table8) at(x float64) float64 {
	i, part := between(x, len(t))
	return lerp(float64(t[i])/255, float64(t[min(i+1, len(t)-1)])/255, part)
}

func (t table16) at(x float64) float64 {
	n := len(t) / 2
	i, part := between(x, n)
	j := min(i+1, n-1)
	return lerp(value16(t, i), value16(t, j), part)
}

// value16 returns entry i of a table of 16-bit values.
func value16(t []byte, i int) float64 { return float64(binary.BigEndian.Uint16(t[2*i:])) / 65535 }

// between returns the entry of a table of n at or before x, which is limited to 0 to 1, and how far x is past it.
func between(x float64, n int) (i int, part float64) {
	x = min(max(sane(x), 0), 1) * float64(n-1)
	i = int(x)
	return i, x - float64(i)
}

func lerp(a, b, part float64) float64 { return a + float64((b-a)*part) }

// parametric is a curve of type para: (a*x+b)^g + e from d on, c*x + f below it.
type parametric struct{ g, a, b, c, d, e, f float64 }

func (p *parametric) at(x float64) float64 {
	if x < p.d {
		return sane(float64(p.c*x) + p.f)
	}
	base := float64(p.a*x) + p.b
	if base <= 0 {
		return sane(p.e)
	}
	return sane(math.Pow(base, p.g) + p.e)
}

// gammaCurve is x to the power of a number; 1 is the identity.
type gammaCurve float64

func (g gammaCurve) at(x float64) float64 {
	switch {
	case g == 1:
		return x
	case x <= 0:
		return 0
	}
	return sane(math.Pow(x, float64(g)))
}

// clampedCurve limits what a curve takes and gives to 0 to 1, as the curves of device channels are.
type clampedCurve struct{ curve }

func (c clampedCurve) at(x float64) float64 {
	return min(max(c.curve.at(min(max(x, 0), 1)), 0), 1)
}

// compensatedCurve maps the light of black to 0 and leaves white where it is.
type compensatedCurve struct {
	curve
	black float64
}

func (c compensatedCurve) at(x float64) float64 { return (c.curve.at(x) - c.black) / (1 - c.black) }

// readCurve reads an element of type curv or para from the start of b, and returns its length.
func readCurve(b []byte) (c curve, length int, err error) {
	if len(b) < 12 {
		return nil, 0, errors.New("a curve is cut short")
	}
	switch string(b[:4]) {
	case "curv":
		return readTable(b)
	case "para":
		return readParametric(b)
	}
	return nil, 0, fmt.Errorf("a curve has type %q", b[:4])
}

func readTable(b []byte) (curve, int, error) {
	n := int64(binary.BigEndian.Uint32(b[8:]))
	if n > int64(len(b)-12)/2 {
		return nil, 0, fmt.Errorf("a curve claims %d entries, more than it has", n)
	}
	length := 12 + 2*int(n)
	switch n {
	case 0:
		return gammaCurve(1), length, nil
	case 1:
		return gammaCurve(float64(binary.BigEndian.Uint16(b[12:])) / 256), length, nil
	}
	return table16(b[12:length]), length, nil
}

// readParametric reads a curve of type para. Its five kinds have the first parameters of the general form, partly
// under other names.
func readParametric(b []byte) (curve, int, error) {
	kind := binary.BigEndian.Uint16(b[8:])
	counts := [...]int{1, 3, 4, 5, 7}
	if int(kind) >= len(counts) {
		return nil, 0, fmt.Errorf("a parametric curve has kind %d", kind)
	}
	length := 12 + 4*counts[kind]
	if len(b) < length {
		return nil, 0, errors.New("a parametric curve is cut short")
	}
	var v [7]float64
	for i := range counts[kind] {
		v[i] = fixed(b[12+4*i:])
	}
	p := &parametric{g: v[0], a: v[1], b: v[2]}
	switch kind {
	case 0:
		return gammaCurve(v[0]), length, nil
	case 1, 2:
		if p.a == 0 {
			return nil, 0, errors.New("a parametric curve divides by zero")
		}
		p.d, p.e, p.f = -p.b/p.a, v[3], v[3]
	default:
		p.c, p.d, p.e, p.f = v[3], v[4], v[5], v[6]
	}
	return p, length, nil
}

// fixed reads a number of type s15Fixed16.
func fixed(b []byte) float64 { return float64(int32(binary.BigEndian.Uint32(b))) / 65536 }
