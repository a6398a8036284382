package jfif

import (
	"bytes"
	"fmt"
)

// Damage tells what is wrong with a file whose picture is there all the same. A larger value is worse.
type Damage int

// The kinds of damage. What is missing is grey, as in libjpeg, which browsers use.
const (
	Intact Damage = iota
	Beside        // a segment that is not needed has an impossible length
	NoEnd         // nothing but the end marker is missing
	Coarse        // later scans of a progressive file are missing, wholly or in part, which refine the picture
	Cut           // the data ends before the picture does
	Broken        // data within the file cannot be decoded
)

// ErrCut is returned for a file of which more than half of the rows are missing, because its data ends.
var ErrCut = fmt.Errorf("%w: more than half of the picture is missing", ErrInvalid)

// suffer records damage.
func (d *Decoder) suffer(damage Damage) { d.Damage = max(d.Damage, damage) }

// noEnd records that the structure ends without an end marker. It returns an error unless every component has a scan.
func (d *Decoder) noEnd() error {
	if len(d.scans) == 0 {
		return ErrInvalid
	}
	var first [4]bool
	var final [4]uint64 // the coefficients of each plane that have all their bits
	for i := range d.scans {
		s := &d.scans[i]
		for _, p := range s.parts() {
			first[p.plane] = first[p.plane] || s.first()
			if s.low == 0 {
				final[p.plane] |= 2<<s.to - 1<<s.from
			}
		}
	}
	d.suffer(NoEnd)
	for i := range d.comps {
		if !first[i] {
			return ErrCut
		}
		if d.Progressive && final[i] != 1<<64-1 {
			d.suffer(Coarse)
		}
	}
	return nil
}

// first reports whether the scan has the mean of its blocks, without which there is nothing to see.
func (s *scan) first() bool { return s.from == 0 && !s.refine }

// lose gives up the data up to the next restart marker, because it cannot be decoded.
func (s *scan) lose(d *Decoder) {
	s.lost, s.eobRun = true, 0
	d.suffer(Broken)
}

// checkData gives up the data up to the next restart marker if the last MCU has used more than there is. That MCU keeps
// what it got, with zeros for the rest.
func (s *scan) checkData(d *Decoder) {
	if s.lost || s.bits.within() {
		return
	}
	s.lost, s.eobRun = true, 0
	marker, _ := s.bits.nextRestart()
	s.ranOut(d, marker)
}

// ranOut records that data is missing before the restart marker; 0 stands for the end of the scan.
func (s *scan) ranOut(d *Decoder, marker byte) {
	switch {
	case marker != 0:
		d.suffer(Broken)
	case s.first():
		d.suffer(Cut)
	default:
		d.suffer(Coarse)
	}
}

// beginMCU reads the restart marker before an MCU of a row, if there must be one. Where it finds another one it does as
// libjpeg: a marker that comes a little early is left for its turn, a late one is skipped, and any other one counts as
// the one that is wanted.
func (s *scan) beginMCU(d *Decoder, row int) {
	if !s.nextMCU() {
		want := s.marker
		s.left, s.marker, s.last, s.eobRun, s.lost = s.interval-1, markerRST0|(want+1)&7, [4]int32{}, 0, true
		marker, pos := s.bits.nextRestart()
		for marker != 0 && (marker-want)&7 >= 6 {
			s.bits.pos = pos
			marker, pos = s.bits.nextRestart()
		}
		if ahead := (marker - want) & 7; marker != 0 && (ahead == 0 || ahead > 2) {
			s.bits.pos, s.lost = pos, false
		}
		s.ranOut(d, marker)
	}
	if s.lost {
		s.miss(d, row)
	}
}

// miss counts the rows of pixels of a row of MCUs that is not complete.
func (s *scan) miss(d *Decoder, row int) {
	if s.gap <= row {
		s.gap = row + 1
		s.missing += min(d.StripHeight, d.Height-row*d.StripHeight)
	}
}

// nextRestart goes on to the next marker and returns it with the position behind it, or 0 if it is no restart marker or
// there is none.
func (r *bitReader) nextRestart() (marker byte, behind int) {
	*r = bitReader{data: r.data, pos: r.pos}
	for ; r.pos+1 < len(r.data); r.pos++ {
		i := bytes.IndexByte(r.data[r.pos:], 0xff)
		if i < 0 || r.pos+i+1 >= len(r.data) {
			break
		}
		r.pos += i
		switch b := r.data[r.pos+1]; {
		case b == 0 || b == 0xff:
		case b&^7 == markerRST0:
			return b, r.pos + 2
		default:
			return 0, r.pos
		}
	}
	r.pos = len(r.data)
	return 0, r.pos
}

// enough returns an error if too few rows of the first scan of a component can be decoded.
func (s *scan) enough(d *Decoder) error {
	switch {
	case !s.first() || 2*s.missing <= d.Height:
		return nil
	case d.Damage == Cut:
		return ErrCut
	}
	return ErrInvalid
}
