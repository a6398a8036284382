package jfif_test

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"imagery/app/sepia/jfif"
)

// strips reads a whole file. The chroma of a grey one stays 0.
func strips(file []byte) (*image.YCbCr, error) {
	var d jfif.Decoder
	if err := d.Open(file); err != nil {
		return nil, err
	}
	if d.Width*d.Height > 1<<20 {
		return nil, jfif.ErrUnusual // of fuzzing
	}
	m := image.NewYCbCr(image.Rect(0, 0, (d.Width+15)&^15, (d.Height+15)&^15), d.Ratio)
	for y := 0; y < d.Height; y += d.StripHeight {
		s, c := *m, m.COffset(0, y)
		s.Y, s.Cb, s.Cr = m.Y[y*m.YStride:], m.Cb[c:], m.Cr[c:]
		if err := d.Strip(&s); err != nil {
			return nil, err
		}
	}
	return m.SubImage(image.Rect(0, 0, d.Width, d.Height)).(*image.YCbCr), nil
}

// sameSamples fails where a sample differs from that of image/jpeg by more than most, and returns the difference in
// the mean. Both round, at different points.
func sameSamples(t testing.TB, got *image.YCbCr, file []byte, most int) float64 {
	t.Helper()
	m, err := jpeg.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatalf("image/jpeg refuses it: %v", err)
	}
	want, ok := m.(*image.YCbCr)
	if g, grey := m.(*image.Gray); grey {
		want, ok = &image.YCbCr{Y: g.Pix, YStride: g.Stride, Rect: g.Rect, SubsampleRatio: got.SubsampleRatio,
			Cb: got.Cb, Cr: got.Cr, CStride: got.CStride}, true
	}
	if !ok || got.Rect != want.Rect || got.SubsampleRatio != want.SubsampleRatio {
		t.Fatalf("got %v %v, image/jpeg has %T %v", got.Rect, got.SubsampleRatio, m, m.Bounds())
	}
	sum, n := 0, 0
	for y := range got.Rect.Dy() {
		for x := range got.Rect.Dx() {
			g, w := got.YCbCrAt(x, y), want.YCbCrAt(x, y)
			for _, d := range [3]int{int(g.Y) - int(w.Y), int(g.Cb) - int(w.Cb), int(g.Cr) - int(w.Cr)} {
				sum, n = sum+max(d, -d), n+1
				if max(d, -d) > most {
					t.Fatalf("at %d,%d: got %v, image/jpeg has %v", x, y, g, w)
				}
			}
		}
	}
	return float64(sum) / float64(n)
}

// files are pictures of every content by two encoders: the standard one, and ours, which writes restart markers.
func files(t testing.TB, width, height int) map[string][]byte {
	all := map[string][]byte{}
	for name, sample := range samples {
		m := picture(width, height, sample)
		all[name] = standard(t, m, 90)
		all[name+" of low quality"] = standard(t, m, 5)
		all[name+" with restarts"] = encode(jfif.NewEncoder(95), m)
		grey := &image.Gray{Pix: m.Y, Stride: m.YStride, Rect: m.Rect}
		all[name+" in grey"] = standard(t, grey, 90)
	}
	return all
}

func TestDecoderAgreesWithTheStandard(t *testing.T) {
	for _, size := range [][2]int{{605, 403}, {1, 1}, {8, 8}, {16, 16}, {17, 33}, {1, 700}, {700, 1}} {
		for name, file := range files(t, size[0], size[1]) {
			t.Run(name, func(t *testing.T) {
				m, err := strips(file)
				if err != nil {
					t.Fatal(err)
				}
				if mean := sameSamples(t, m, file, 1); mean > 0.06 {
					t.Errorf("a sample differs by %.3f in the mean", mean)
				}
			})
		}
	}
}

// sideBySide is a picture of 1024 x 16 with a restart in the middle of its only row of MCUs, which our encoder writes
// as two pictures, and where that restart is.
func sideBySide() (file []byte, restart int) {
	var tables jfif.Tables
	var counts jfif.Counts
	e := jfif.NewEncoder(90)
	left := e.Draft(nil, rowsOf(picture(512, 16, samples["detail"]), 0, 16), &counts)
	right := e.Draft(nil, rowsOf(picture(512, 16, samples["edges"]), 0, 16), &counts)
	tables.Reset(&counts)
	file = e.Header(nil, 1024, 16, &tables)
	copy(file[bytes.Index(file, []byte{0xff, 0xdd}):], "\xff\xdd\x00\x04\x00\x20")
	file = tables.Strip(file, left, 32, 0, false)
	return tables.Strip(file, right, 32, 1, true), len(file) - 2
}

func TestRestartWithinARow(t *testing.T) {
	file, restart := sideBySide()
	m, err := strips(file)
	if err != nil {
		t.Fatal(err)
	}
	sameSamples(t, m, file, 1)
	for cut := range 20 {
		_, err := strips(slices.Delete(bytes.Clone(file), restart-1-cut, restart))
		if !errors.Is(err, jfif.ErrUnusual) {
			t.Errorf("cut by %d bytes before the restart: got %v, want %v", cut+1, err, jfif.ErrUnusual)
		}
	}
}

// TestDecoderIsUsedAgain: nothing of a file, not even of a damaged one, is left for the next.
func TestDecoderIsUsedAgain(t *testing.T) {
	var d jfif.Decoder
	all := files(t, 40, 30)
	m := image.NewYCbCr(image.Rect(0, 0, 48, 32), image.YCbCrSubsampleRatio420)
	for name, file := range all {
		if err := d.Open(file[:len(file)/2]); err == nil {
			d.Strip(m)
		}
		if err := d.Open(file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	// A file without tables has none, whatever was read before.
	bare := bytes.Clone(all["detail"])
	at := bytes.Index(bare, []byte{0xff, 0xc4})
	bare[at+1] = 0xfe // a comment
	if err := d.Open(bare); !errors.Is(err, jfif.ErrUnusual) {
		t.Errorf("got %v, want %v", err, jfif.ErrUnusual)
	}
}

// TestDecoderLeavesTheUnusual lists what is for image/jpeg to judge.
func TestDecoderLeavesTheUnusual(t *testing.T) {
	file := files(t, 40, 30)["detail"]
	restarts := encode(jfif.NewEncoder(90), picture(600, 40, samples["detail"]))
	restart := bytes.Index(restarts, []byte{0xff, 0xd0})
	edit := func(file []byte, segment byte, offset int, values ...byte) []byte {
		at := bytes.Index(file, []byte{0xff, segment}) + offset
		return slices.Concat(file[:at], values, file[at+len(values):])
	}
	insert := func(at int, values string) []byte { return slices.Concat(file[:at], []byte(values), file[at:]) }
	for name, raw := range map[string][]byte{
		"nothing":              nil,
		"no picture":           []byte("\xff\xd8\xff\xd9"),
		"progressive":          edit(file, 0xc0, 1, 0xc2),
		"extended":             edit(file, 0xc0, 1, 0xc1),
		"12 bits":              edit(file, 0xc0, 4, 12),
		"no rows":              edit(file, 0xc0, 5, 0, 0),
		"sampling of 3":        edit(file, 0xc0, 11, 0x31),
		"sampled chroma":       edit(file, 0xc0, 14, 0x21),
		"RGB":                  edit(file, 0xc0, 10, 'R'),
		"RGB by Adobe":         insert(2, "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"),
		"equal components":     edit(file, 0xc0, 13, 1),
		"no such quantizer":    edit(file, 0xc0, 12, 2),
		"quantizer of 16 bits": edit(file, 0xdb, 4, 0x10),
		"no such Huffman code": edit(file, 0xda, 6, 0x33),
		"too many codes":       edit(file, 0xc4, 5, 0xff),
		"a table of no codes":  insert(2, "\xff\xc4\x00\x13\x01"+strings.Repeat("\x00", 16)),
		"a flood of tables": insert(2,
			strings.Repeat("\xff\xc4\x00\x14\x10\x01"+strings.Repeat("\x00", 15)+"\x01", 20)),
		"part of the spectrum": edit(file, 0xda, 12, 5),
		"one component only":   edit(file, 0xda, 4, 1),
		"no end":               file[:len(file)-2],
		"cut in the picture":   append(bytes.Clone(file[:len(file)-200]), 0xff, 0xd9),
		"something behind":     insert(len(file)-2, "\x00"),
		"a restart too many":   insert(len(file)-2, "\xff\xd0"),
		"cut before a restart": append(bytes.Clone(restarts[:restart-9]), restarts[restart:]...),
		"a restart missing":    edit(restarts, 0xd1, 1, 0xd2),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := strips(raw); !errors.Is(err, jfif.ErrUnusual) {
				t.Errorf("got %v, want %v", err, jfif.ErrUnusual)
			}
		})
	}
}

// TestDamagedFilesAgree damages files at random, most often in the picture: what is still read is read as the standard
// decoder reads it.
func TestDamagedFilesAgree(t *testing.T) {
	const header = 600
	random := rand.New(rand.NewPCG(9, 9))
	all := files(t, 120, 70)
	all["tall"] = encode(jfif.NewEncoder(80), picture(48, 700, samples["detail"]))
	names, read := slices.Sorted(maps.Keys(all)), 0
	for range 2000 {
		file := bytes.Clone(all[names[random.IntN(len(names))]])
		for range 1 + random.IntN(3) {
			at := random.IntN(len(file))
			if at < header && random.IntN(4) > 0 {
				at = min(header, len(file)-1) + random.IntN(len(file)-min(header, len(file)-1))
			}
			switch random.IntN(4) {
			case 0:
				file[at] = byte(random.IntN(256))
			case 1:
				file[at] ^= 1 << random.IntN(8)
			case 2:
				file = slices.Delete(file, at, at+1)
			case 3:
				file = append(file[:at], 0xff, 0xd9)
			}
		}
		if m, err := strips(file); err == nil {
			sameSamples(t, m, file, 3)
			read++
		}
	}
	if read < 100 {
		t.Errorf("only %d damaged files could be read, too few to tell", read)
	}
}

// FuzzDecode: whatever is read, image/jpeg reads too, with the same samples. Steep blocks are rounded by 3.
func FuzzDecode(f *testing.F) {
	for _, file := range files(f, 40, 30) {
		f.Add(file)
	}
	f.Add(encode(jfif.NewEncoder(50), picture(16, 700, samples["detail"])))
	within, _ := sideBySide()
	f.Add(within)
	f.Fuzz(func(t *testing.T, file []byte) {
		if m, err := strips(file); err == nil {
			sameSamples(t, m, file, 3)
		} else if !errors.Is(err, jfif.ErrUnusual) {
			t.Fatal(err)
		}
	})
}
