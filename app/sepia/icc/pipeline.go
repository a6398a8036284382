package icc

// stage computes one step of a pipeline, in place.
type stage interface {
	apply(v *[4]float64)
}

// space converts the result of the last stage of a pipeline to XYZ.
type space func(v [3]float64) [3]float64

// The ends of the ranges of encodings: of Lab in version 2, where 1 is that of version 4, and of XYZ.
const (
	oldLabRange = 65535.0 / 65280
	xyzRange    = 1 + 32767.0/32768
)

// The encodings of the profile connection space. Tables of version 2 have 100 % of Lab at 0xFF00, those of version 4
// and tables of 8 bits at the end of the range. XYZ ends shortly before 2.
func labSpace(v [3]float64) [3]float64 {
	return labToXYZ([3]float64{v[0] * 100, float64(v[1]*255) - 128, float64(v[2]*255) - 128})
}

func labSpace2(v [3]float64) [3]float64 {
	return labSpace([3]float64{v[0] * oldLabRange, v[1] * oldLabRange, v[2] * oldLabRange})
}

func xyzSpace(v [3]float64) [3]float64 {
	return [3]float64{v[0] * xyzRange, v[1] * xyzRange, v[2] * xyzRange}
}

// linearSpace takes XYZ as it is.
func linearSpace(v [3]float64) [3]float64 { return v }

// pipeline computes the sRGB colour of device values from 0 to 1.
type pipeline struct {
	stages []stage
	space  space
	scale  [3]float64 // black point compensation: XYZ * scale + offset
	offset [3]float64
}

// newPipeline returns a pipeline without black point compensation.
func newPipeline(s space, stages ...stage) *pipeline {
	return &pipeline{stages: stages, space: s, scale: [3]float64{1, 1, 1}}
}

// xyz returns the colour under D50, before black point compensation.
func (p *pipeline) xyz(device [4]float64) [3]float64 {
	v := device
	for _, s := range p.stages {
		s.apply(&v)
		for i := range v {
			v[i] = sane(v[i])
		}
	}
	return p.space([3]float64{v[0], v[1], v[2]})
}

// levels returns red, green and blue of sRGB in levels from 0 to 255, and beyond where the colour is out of gamut.
func (p *pipeline) levels(device [4]float64) [3]float64 {
	v := p.xyz(device)
	for i := range v {
		v[i] = float64(v[i]*p.scale[i]) + p.offset[i]
	}
	v = xyzToSRGB.apply(v)
	for i := range v {
		v[i] = sane(encodeSRGB(sane(v[i])) * 255)
	}
	return v
}

// compensate maps black, the XYZ of the darkest colour of the device, to the black of sRGB, which is 0, and leaves
// white where it is.
func (p *pipeline) compensate(black [3]float64) {
	for i, b := range black {
		p.scale[i] = d50[i] / (d50[i] - b)
		p.offset[i] = -d50[i] * b / (d50[i] - b)
	}
}

// matrixStage multiplies the first three channels by a matrix and adds an offset.
type matrixStage struct {
	m      matrix3
	offset [3]float64
}

func (s *matrixStage) apply(v *[4]float64) {
	r := s.m.apply([3]float64{v[0], v[1], v[2]})
	for i := range r {
		v[i] = r[i] + s.offset[i]
	}
}

// greyStage makes three channels of one, each with its weight. It is the last stage of a profile with one grey curve.
type greyStage struct {
	weights, offset [3]float64
}

func (s *greyStage) apply(v *[4]float64) {
	g := v[0]
	for i := range s.weights {
		v[i] = float64(g*s.weights[i]) + s.offset[i]
	}
}
