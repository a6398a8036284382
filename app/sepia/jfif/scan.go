package jfif

// scan is one scan of a file, and how far it is read.
type scan struct {
	array    [4]part
	n        int  // of array, one per component
	end      int  // the position behind the marker that follows
	from, to int  // of the coefficients, in zigzag order
	low      uint // bits that are left for later scans
	refine   bool
	interval int

	scanState
	plain   bool // fast can read it
	gap     int  // the last row of MCUs that is not complete, plus one
	missing int  // rows of pixels in all such rows
}

// scanState changes from block to block.
type scanState struct {
	bits   bitReader
	last   [4]int32 // by part: DC of the previous block
	eobRun uint32   // blocks that are still to be skipped
	left   int      // MCUs before the next restart
	marker byte     // of that
	lost   bool     // there is no more data before the next restart
}

// part is a component in a scan.
type part struct {
	plane  int
	h, v   int // blocks in an MCU
	dc, ac *huffman
	quant  quantizers
}

func (s *scan) parts() []part { return s.array[:s.n] }

// startOfScan reads the header of a scan and appends it to d.scans.
func (d *Decoder) startOfScan(b []byte) bool {
	if d.header.marker == 0 || len(b) < 6 || len(b) > 4+2*len(d.comps) || len(b) != 4+2*int(b[0]) {
		return false
	}
	n := int(b[0])
	if len(d.scans) < cap(d.scans) {
		d.scans = d.scans[:len(d.scans)+1]
	} else {
		d.scans = append(d.scans, scan{})
	}
	s := &d.scans[len(d.scans)-1]
	s.n = n
	s.from, s.to, s.low, s.refine, s.plain = 0, 63, 0, false, n > 1 || len(d.comps) == 1
	if d.Progressive && !s.band(b[1+2*n:]) {
		return false
	}
	s.interval = d.header.interval
	blocks := 0
	for i := range n {
		if !d.part(s, i, b[1+2*i], b[2+2*i]) {
			return false
		}
		blocks += s.array[i].h * s.array[i].v
	}
	s.scanState, s.gap, s.missing = scanState{left: s.interval, marker: markerRST0}, 0, 0
	return len(d.comps) == 1 || blocks <= 10
}

// band reads the part of the coefficients that a progressive scan has.
func (s *scan) band(b []byte) bool {
	high := uint(b[2] >> 4)
	s.from, s.to, s.low, s.refine = int(b[0]), int(b[1]), uint(b[2]&15), high != 0
	switch {
	case s.from > s.to, s.to > 63, s.from == 0 && s.to != 0, s.from > 0 && s.n > 1:
		return false
	}
	return high == 0 || high == s.low+1
}

// part sets the i-th component of a scan.
func (d *Decoder) part(s *scan, i int, id, tables byte) bool {
	p := &s.array[i]
	p.plane = -1
	for j := range d.comps {
		if d.comps[j].id == id {
			p.plane = j
		}
	}
	if p.plane < 0 {
		return false
	}
	for j := range i {
		if s.array[j].plane == p.plane {
			return false
		}
	}
	dc, ac := tables>>4, tables&15
	if dc > 3 || ac > 3 || d.header.marker == markerSOF0 && dc|ac > 1 {
		return false
	}
	c := &d.comps[p.plane]
	p.h, p.v = c.h, c.v
	p.dc, p.ac = d.table(d.header.huffman[0][dc]), d.table(d.header.huffman[1][ac])
	if !d.Progressive {
		s.plain = p.quant.set(&d.header.quant[c.quant]) && s.plain && p.dc != nil && p.ac != nil
	}
	return true
}

// table returns the lookup table of a table in the file, nil if there is none.
func (d *Decoder) table(b []byte) *huffman {
	if b == nil {
		return nil
	}
	for _, h := range d.tables[:d.inUse] {
		if &h.symbols[0] == &b[16] {
			return h
		}
	}
	if d.inUse == len(d.tables) {
		d.tables = append(d.tables, new(huffman))
	}
	h := d.tables[d.inUse]
	d.inUse++
	h.build(b)
	return h
}

// nextMCU reads the restart marker before an MCU, if there must be one.
func (s *scan) nextMCU() bool {
	if s.interval == 0 {
		return true
	}
	if s.left == 0 {
		if !s.bits.within() || !s.bits.restart(s.marker) {
			return false
		}
		s.left, s.marker, s.last, s.eobRun, s.lost = s.interval, markerRST0|(s.marker+1)&7, [4]int32{}, 0, false
	}
	s.left--
	return true
}

// ended reports whether the data ends before the marker that follows.
func (s *scan) ended() bool {
	_, pos := nextMarker(s.bits.data, s.bits.pos)
	return pos == s.end
}

// walk calls f for the blocks in a row of MCUs, in the order of the scan, with their positions in the plane. f returns
// false where the data cannot be decoded. Where there is no data, walk calls f for a sequential file only.
func (s *scan) walk(d *Decoder, row int, f func(p *part, i, x, y int) bool) {
	if s.n == 1 {
		s.walkPlane(d, row, f)
		return
	}
	for x := range d.across {
		s.beginMCU(d, row)
		for i := range s.n {
			p := &s.array[i]
			for j := range p.v {
				for k := range p.h {
					if (!s.lost || !d.Progressive) && !f(p, i, x*p.h+k, row*p.v+j) {
						s.lose(d)
					}
				}
			}
		}
		s.checkData(d)
	}
}

// walkPlane is walk for a single component, each of whose blocks is an MCU. They come row by row, and only those that
// image/jpeg counts as part of the picture, which compares positions in the plane with the size in pixels.
func (s *scan) walkPlane(d *Decoder, row int, f func(p *part, i, x, y int) bool) {
	p := &s.array[0]
	across := min(d.across*p.h, (d.Width+7)/8)
	for y := row * p.v; y < (row+1)*p.v && 8*y < d.Height; y++ {
		for x := range across {
			if s.interval > 0 || s.lost {
				s.beginMCU(d, row)
			}
			if (!s.lost || !d.Progressive) && !f(p, 0, x, y) {
				s.lose(d)
			}
			if !s.bits.within() {
				s.checkData(d)
			}
		}
	}
}
