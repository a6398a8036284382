package icc

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// profile has the elements of an ICC profile that conversions need. Its tags are parts of the profile's bytes.
type profile struct {
	class    string
	channels int
	version4 bool
	lab      bool // the connection space is Lab, not XYZ
	tags     map[string][]byte
}

// wanted lists the tags that conversions read.
var wanted = map[string]bool{
	"A2B0": true, "A2B1": true, "B2A0": true, "kTRC": true,
	"rXYZ": true, "gXYZ": true, "bXYZ": true, "rTRC": true, "gTRC": true, "bTRC": true,
}

// Parse returns the conversion of an ICC profile to sRGB, or nil if the profile is that of sRGB: if it moves no
// colour by more than one level, which is what LittleCMS's own arithmetic for 8 bits may do. An error means that the
// profile is damaged or of a kind that photos do not have.
func Parse(data []byte) (*Transform, error) {
	p, err := readProfile(data)
	if err != nil {
		return nil, fmt.Errorf("ICC profile: %w", err)
	}
	t, err := p.transform()
	if err != nil {
		return nil, fmt.Errorf("ICC profile: %w", err)
	}
	return orNil(t), nil
}

// readProfile reads the header and the table of tags. As in LittleCMS, a tag that is not within the profile counts as
// missing.
func readProfile(data []byte) (*profile, error) {
	if len(data) < 132 {
		return nil, errors.New("the header is cut short")
	}
	if string(data[36:40]) != "acsp" {
		return nil, errors.New("the header lacks its signature")
	}
	p := &profile{class: string(data[12:16]), version4: data[8] >= 4, tags: make(map[string][]byte)}
	switch p.class {
	case "scnr", "mntr", "prtr", "spac":
	default:
		return nil, fmt.Errorf("the class is %q", p.class)
	}
	switch space := string(data[16:20]); space {
	case "GRAY":
		p.channels = 1
	case "RGB ":
		p.channels = 3
	case "CMYK":
		p.channels = 4
	default:
		return nil, fmt.Errorf("the pixels are %q", space)
	}
	switch space := string(data[20:24]); space {
	case "XYZ ", "Lab ":
		p.lab = space == "Lab "
	default:
		return nil, fmt.Errorf("the connection space is %q", space)
	}
	if size := binary.BigEndian.Uint32(data); int64(size) < int64(len(data)) {
		data = data[:max(size, 132)]
	}
	count := binary.BigEndian.Uint32(data[128:])
	for entry := data[132:]; count > 0 && len(entry) >= 12; entry, count = entry[12:], count-1 {
		name := string(entry[:4])
		start, size := int64(binary.BigEndian.Uint32(entry[4:])), int64(binary.BigEndian.Uint32(entry[8:]))
		if _, double := p.tags[name]; wanted[name] && !double && start+size <= int64(len(data)) {
			p.tags[name] = data[start : start+size]
		}
	}
	return p, nil
}

// transform returns the conversion by the tables of the profile, or by its curves and matrix if it has none.
func (p *profile) transform() (*Transform, error) {
	if p.isLUT() {
		return p.byLUT()
	}
	if p.channels == 4 {
		return nil, errors.New("a CMYK profile lacks its table")
	}
	pipe, curves, m, err := p.byCurves()
	if err != nil {
		return nil, err
	}
	black := darkest(pipe.xyz([4]float64{}))
	pipe.compensate(black)
	if p.channels == 1 {
		return &Transform{channels: 1, grey: newGrey(pipe)}, nil
	}
	for i := range curves { // a neutral black is taken away from the light of each channel
		curves[i] = compensatedCurve{curves[i], black[1]}
	}
	return &Transform{channels: 3, matrix: newMatrix(curves, xyzToSRGB.times(m))}, nil
}

// byCurves returns the pipeline of a profile with one curve, or with three and a matrix.
func (p *profile) byCurves() (*pipeline, [3]curve, matrix3, error) {
	var curves [3]curve
	var m matrix3
	if p.channels == 1 {
		c, err := p.curve("kTRC")
		if err != nil {
			return nil, curves, m, err
		}
		// a grey of Lab has its curve in L
		s, weights := space(linearSpace), &greyStage{weights: d50}
		if p.lab {
			s, weights = labSpace, &greyStage{weights: [3]float64{1}, offset: [3]float64{0, 128.0 / 255, 128.0 / 255}}
		}
		return newPipeline(s, curveStage{c}, weights), curves, m, nil
	}
	for i, name := range []string{"r", "g", "b"} {
		c, err := p.curve(name + "TRC")
		if err != nil {
			return nil, curves, m, err
		}
		curves[i] = c
		tag := p.tags[name+"XYZ"]
		if len(tag) < 20 || string(tag[:4]) != "XYZ " {
			return nil, curves, m, fmt.Errorf("the tag %sXYZ is missing or damaged", name)
		}
		for row := range m {
			m[row][i] = fixed(tag[8+4*row:])
		}
	}
	return newPipeline(linearSpace, curveStage(curves[:]), &matrixStage{m: m}), curves, m, nil
}

// curve returns the curve of a device channel.
func (p *profile) curve(name string) (curve, error) {
	tag := p.tags[name]
	if tag == nil {
		return nil, fmt.Errorf("the tag %s is missing or damaged", name)
	}
	c, _, err := readCurve(tag)
	if err != nil {
		return nil, err
	}
	return clampedCurve{c}, nil
}

// orNil returns nil in place of a transform that moves no colour by more than one level.
func orNil(t *Transform) *Transform {
	var src, dst [3]byte
	if t.grid != nil {
		return t
	}
	same := func(values ...byte) bool {
		copy(src[:], values)
		t.Convert(dst[:], src[:len(values)])
		for c := range dst {
			want := int(values[c%len(values)])
			if d := int(dst[c]) - want; d < -1 || d > 1 {
				return false
			}
		}
		return true
	}
	for v := range 256 {
		if b := byte(v); t.channels == 1 && !same(b) || t.channels == 3 && !same(b, b, b) {
			return t
		}
	}
	const steps = 15
	for i := 0; t.channels == 3 && i < (steps+1)*(steps+1)*(steps+1); i++ {
		r, g, b := i/((steps+1)*(steps+1)), i/(steps+1)%(steps+1), i%(steps+1)
		if !same(byte(r*255/steps), byte(g*255/steps), byte(b*255/steps)) {
			return t
		}
	}
	return nil
}
