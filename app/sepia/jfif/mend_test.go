package jfif_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"imagery/app/sepia/jfif"
)

// rowsAlike returns how many rows of luma from the top two photos of one size have in common.
func rowsAlike(a, b *photo) int {
	for y := range a.Rect.Dy() {
		if !bytes.Equal(a.Y[y*a.YStride:][:a.Rect.Dx()], b.Y[y*b.YStride:][:b.Rect.Dx()]) {
			return y
		}
	}
	return a.Rect.Dy()
}

// greyFrom returns the first of the rows at the bottom that are grey in all planes but black.
func greyFrom(p *photo) int {
	for y := p.Rect.Dy() - 1; y >= 0; y-- {
		for x := range p.Rect.Dx() {
			c := p.COffset(x, y)
			if p.Y[y*p.YStride+x] != 128 || len(p.Cb) > c && p.model != jfif.Grey && (p.Cb[c] != 128 || p.Cr[c] != 128) {
				return y + 1
			}
		}
	}
	return 0
}

// TestCutFilesAreMended cuts files of every kind that have one scan at many bytes: if half of the rows are there the
// rest is grey, else the file is refused.
func TestCutFilesAreMended(t *testing.T) {
	for name, s := range kinds() {
		if s.scans != nil {
			continue
		}
		s.height = 61
		file := s.bytes()
		whole, err := strips(file)
		if err != nil {
			t.Fatal(err)
		}
		start := bytes.Index(file, []byte{0xff, 0xda})
		accepted, refused, last := 0, false, 0
		for n := len(file) - 1; n > start+30; n -= step(file, n) {
			p, damage, err := mended(file[:n:n])
			if err != nil {
				if refused = true; !errors.Is(err, jfif.ErrCut) || accepted == 0 {
					t.Fatalf("%s: %d of %d bytes: %v", name, n, len(file), err)
				}
				continue
			}
			if accepted++; refused {
				t.Fatalf("%s: %d of %d bytes are mended, but not a few more", name, n, len(file))
			}
			last = n
			alike, grey := rowsAlike(p, whole), greyFrom(p)
			if damage == jfif.NoEnd && alike == 61 {
				continue
			}
			if damage != jfif.Cut || 2*alike < 61-32 || grey > alike+16 && grey < 61 {
				t.Fatalf("%s: %d of %d bytes: damage %d, %d rows are right, grey from row %d", name, n, len(file), damage,
					alike, grey)
			}
		}
		if !refused || last > start+3*(len(file)-start)/4 {
			t.Errorf("%s: %d of %d bytes are not mended", name, last, len(file))
		}
	}
}

// step returns the distance to the next place where a file is cut, smaller at its end and near the first of several
// scans.
func step(file []byte, at int) int {
	switch {
	case len(file)-at < 12:
		return 1
	case bytes.Count(file[:at], []byte{0xff, 0xda}) <= 2 && bytes.Count(file, []byte{0xff, 0xda}) > 1:
		return 1
	}
	return 127
}

// TestCutProgressions cuts progressive files at many bytes: from some place on they are mended, and the more data there
// is the nearer is the picture, until only the end marker is missing.
func TestCutProgressions(t *testing.T) {
	for name := range progressions {
		if name == "a plane missing" || name == "detail before the mean" {
			continue
		}
		for _, interval := range []int{0, 2} {
			t.Run(fmt.Sprint(name, interval), func(t *testing.T) {
				s := kinds()["4:2:0, progressive, "+name]
				s.interval, s.height = interval, 61
				file := s.bytes()
				whole, err := strips(file)
				if err != nil {
					t.Fatal(err)
				}
				var seen [jfif.Broken + 1]int
				refused := false
				start := bytes.Index(file, []byte{0xff, 0xda}) + 30
				for n := len(file) - 1; n > start; n -= step(file, n) {
					p, damage, err := mended(file[:n:n])
					if err != nil {
						if refused = true; !errors.Is(err, jfif.ErrCut) {
							t.Fatalf("%d of %d bytes: %v", n, len(file), err)
						}
						continue
					}
					if refused {
						t.Fatalf("%d of %d bytes are mended, but not a few more", n, len(file))
					}
					if seen[damage]++; damage == jfif.NoEnd && rowsAlike(p, whole) < 61 || damage == jfif.Broken {
						t.Fatalf("%d of %d bytes: damage %d, %d rows are right", n, len(file), damage, rowsAlike(p, whole))
					}
				}
				if !refused || seen[jfif.Cut] == 0 || seen[jfif.Coarse] < 5 || seen[jfif.NoEnd] == 0 {
					t.Errorf("damage: %v", seen)
				}
			})
		}
	}
}

// TestLostRestartsAreFound damages one stretch between restart markers: what is behind the next marker is right again.
func TestLostRestartsAreFound(t *testing.T) {
	s := kinds()["4:2:0, extended, restarts"]
	s.width, s.height, s.interval = 64, 160, 4 // a row of MCUs
	file := s.bytes()
	whole, err := strips(file)
	if err != nil {
		t.Fatal(err)
	}
	at := func(marker byte) int { return bytes.Index(file, []byte{0xff, marker}) }
	for name, c := range map[string]struct {
		raw   []byte
		wrong int // rows of MCUs
	}{
		"data missing":     {slices.Delete(bytes.Clone(file), at(0xd2)+20, at(0xd3)-20), 1},
		"marker missing":   {slices.Delete(bytes.Clone(file), at(0xd2), at(0xd2)+2), 2},
		"stretch missing":  {slices.Delete(bytes.Clone(file), at(0xd2), at(0xd3)), 1},
		"stretch repeated": {slices.Concat(file[:at(0xd3)], file[at(0xd2):]), 1},
	} {
		p, damage, err := mended(c.raw)
		if err != nil || damage != jfif.Broken {
			t.Errorf("%s: damage %d, %v", name, damage, err)
			continue
		}
		wrong := 0
		for row := range 10 {
			from, to := 16*row*p.YStride, 16*(row+1)*p.YStride
			if !bytes.Equal(p.Y[from:to:to], whole.Y[from:to:to]) {
				wrong++
			}
		}
		if wrong > c.wrong {
			t.Errorf("%s: %d rows of MCUs are wrong, want at most %d", name, wrong, c.wrong)
		}
	}
}
