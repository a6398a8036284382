package icc

import "errors"

// isLUT reports whether the profile converts by a table from the device.
func (p *profile) isLUT() bool { return p.tags["A2B1"] != nil || p.tags["A2B0"] != nil }

// byLUT returns the conversion by A2B1, the table of the relative colorimetric intent, or A2B0 if that is missing.
func (p *profile) byLUT() (*Transform, error) {
	pipe, err := p.toSpace()
	if err != nil {
		return nil, err
	}
	pipe.compensate(p.black(pipe))
	switch p.channels {
	case 1:
		return &Transform{channels: 1, grey: newGrey(pipe)}, nil
	case 3:
		return &Transform{channels: 3, grid: newGrid(pipe, 3)}, nil
	}
	return &Transform{channels: 4, grid: newGrid(pipe, 4)}, nil
}

// toSpace returns the pipeline of the table from the device.
func (p *profile) toSpace() (*pipeline, error) {
	tag := p.tags["A2B1"]
	if tag == nil {
		tag = p.tags["A2B0"]
	}
	l, err := readLUT(tag, p.channels, 3)
	if err != nil {
		return nil, err
	}
	s := space(xyzSpace)
	switch {
	case p.lab && l.old:
		s = labSpace2
	case p.lab:
		s = labSpace
	}
	return newPipeline(s, l.stages...), nil
}

// black returns the black point of the profile by LittleCMS's rules. On a printer with CMYK it is the colour of the
// inks that the profile itself prints black with, because no paper takes all four inks in full. Elsewhere it is the
// darkest colour, but only if the profile has a conversion for this very intent.
func (p *profile) black(pipe *pipeline) [3]float64 {
	if p.class == "prtr" && p.channels == 4 {
		if p.tags["A2B0"] == nil {
			return [3]float64{}
		}
		inks, err := p.blackInks()
		if err != nil {
			return [3]float64{}
		}
		return neutral(min(lightness(pipe.xyz(inks)[1]), 50))
	}
	if p.tags["A2B1"] == nil && !p.hasCurves() {
		return [3]float64{}
	}
	var device [4]float64
	if p.channels == 4 {
		device = [4]float64{1, 1, 1, 1}
	}
	return darkest(pipe.xyz(device))
}

// hasCurves reports whether the profile has the tags of a conversion without tables.
func (p *profile) hasCurves() bool {
	names := []string{"rXYZ", "gXYZ", "bXYZ", "rTRC", "gTRC", "bTRC"}
	switch p.channels {
	case 1:
		names = []string{"kTRC"}
	case 4:
		return false
	}
	for _, name := range names {
		if p.tags[name] == nil {
			return false
		}
	}
	return true
}

// perceptualBlack is the XYZ of the darkest colour of perceptual tables of version 4.
var perceptualBlack = [3]float64{0.00336, 0.0034731, 0.00287}

// blackInks returns what the profile's perceptual table to the device has for black.
func (p *profile) blackInks() ([4]float64, error) {
	tag := p.tags["B2A0"]
	if tag == nil {
		return [4]float64{}, errors.New("the profile has no table to the device")
	}
	l, err := readLUT(tag, 3, p.channels)
	if err != nil {
		return [4]float64{}, err
	}
	var black [3]float64
	if p.version4 {
		black = perceptualBlack
	}
	v := [4]float64{lightness(black[1]) / 100, 128.0 / 255, 128.0 / 255}
	switch {
	case !p.lab:
		for i := range black {
			v[i] = black[i] / xyzRange
		}
	case l.old:
		for i := range v {
			v[i] *= 1 / oldLabRange
		}
	}
	for _, s := range l.stages {
		s.apply(&v)
	}
	for i := range v {
		v[i] = min(max(sane(v[i]), 0), 1)
	}
	return v, nil
}

// darkest returns the black point of the darkest colour of a device: a neutral of its lightness, up to 50.
func darkest(xyz [3]float64) [3]float64 {
	return neutral(min(lightness(xyz[1]), 50))
}

// neutral returns the grey of a lightness, and 0 for one that is not above 0.
func neutral(l float64) [3]float64 {
	if !(l > 1e-6) {
		return [3]float64{}
	}
	return labToXYZ([3]float64{l, 0, 0})
}
