package jfif_test

import (
	"bytes"
	"context"
	"errors"
	"image/jpeg"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"imagery/app/sepia/jfif"
)

// The planes of the samplings that image/jpeg decodes.
var samplings = map[string]string{
	"grey": "1\x11\x00", "grey of odd sampling": "1\x42\x00",
	"4:4:4": "1\x11\x002\x11\x003\x11\x00", "4:2:2": "1\x21\x002\x11\x003\x11\x00",
	"4:2:0": "1\x22\x002\x11\x003\x11\x00", "4:4:0": "1\x12\x002\x11\x003\x11\x00",
	"4:1:1": "1\x41\x002\x11\x003\x11\x00", "4:1:0": "1\x42\x002\x11\x003\x11\x00",
	"4:4:4 in twos": "1\x21\x002\x21\x003\x21\x00", "4:4:0 in twos": "1\x22\x002\x21\x003\x21\x00",
	"4:2:2 in twos": "1\x22\x002\x12\x003\x12\x00",
	"RGB":           "R\x11\x00G\x11\x00B\x11\x00", "RGB, subsampled": "R\x22\x00G\x11\x00B\x11\x00",
	"four": "1\x11\x002\x11\x003\x11\x004\x11\x00", "four, subsampled": "1\x22\x002\x11\x003\x11\x004\x22\x00",
}

// progressions are the scans of progressive files, for the given number of planes.
var progressions = map[string]func(planes int) []scanOf{
	"spectral selection": func(planes int) []scanOf {
		s := []scanOf{{planes: all(planes)}}
		for p := range planes {
			s = append(s, scanOf{planes: []int{p}, from: 1, to: 5}, scanOf{planes: []int{p}, from: 6, to: 63})
		}
		return s
	},
	"successive approximation": func(planes int) []scanOf { return approximation(planes, false) },
	"shared ends of blocks":    func(planes int) []scanOf { return approximation(planes, true) },
	"approximation of parts": func(planes int) []scanOf {
		s := []scanOf{{planes: all(planes)}}
		for p := range planes {
			one := []int{p}
			s = append(s, scanOf{planes: one, from: 1, to: 5, low: 1}, scanOf{planes: one, from: 6, to: 63, low: 1},
				scanOf{planes: one, from: 1, to: 5, high: 1, shared: true}, scanOf{planes: one, from: 6, to: 63, high: 1})
		}
		return s
	},
	"a plane missing": func(planes int) []scanOf { return []scanOf{{planes: []int{planes - 1}}} },
	"detail before the mean": func(planes int) []scanOf {
		return []scanOf{{planes: []int{0}, from: 1, to: 63, shared: true}, {planes: all(planes)}}
	},
}

// approximation sends the bits of coefficients one by one, as encoders do.
func approximation(planes int, shared bool) []scanOf {
	s := []scanOf{{planes: all(planes), low: 1}}
	for p := range planes {
		s = append(s, scanOf{planes: []int{p}, from: 1, to: 63, low: 2, shared: shared},
			scanOf{planes: []int{p}, from: 1, to: 63, high: 2, low: 1, shared: shared})
	}
	s = append(s, scanOf{planes: all(planes), high: 1})
	for p := range planes {
		s = append(s, scanOf{planes: []int{p}, from: 1, to: 63, high: 1, shared: shared})
	}
	return s
}

func all(planes int) []int { return []int{0, 1, 2, 3}[:planes] }

func byItself(planes int) (s []scanOf) {
	for p := range planes {
		s = append(s, scanOf{planes: []int{p}, to: 63})
	}
	return s
}

// kinds are files of every kind, by name.
func kinds() map[string]script {
	of := map[string]script{}
	for name, planes := range samplings {
		n := len(planes) / 3
		s := script{width: 43, height: 29, planes: planes, sample: samples["detail"]}
		if n == 4 {
			s.segments = []string{adobe("\x02")}
		}
		of[name] = s
		extended := s
		extended.marker, extended.interval, extended.coarse = 0xc1, 2, 3
		of[name+", extended, restarts"] = extended
		separate := s
		separate.scans = byItself(n)
		of[name+", separate scans"] = separate
		separate.interval = 3
		of[name+", separate scans, restarts"] = separate
		for progression, scans := range progressions {
			p := s
			p.marker, p.scans = 0xc2, scans(n)
			of[name+", progressive, "+progression] = p
			p.interval, p.coarse, p.sample = 2, 9, samples["edges"]
			of[name+", progressive, restarts, "+progression] = p
		}
	}
	for name, segments := range map[string][]string{
		"CMYK": {adobe("\x00")}, "four planes of an unknown kind": nil,
		"CMYK in JFIF": {segment(0xe0, "JFIF\x00"), adobe("\x00")},
	} {
		four := of["four"]
		four.segments = segments
		of[name] = four
	}
	for name, segments := range map[string][]string{
		"RGB by Adobe": {adobe("\x00")}, "YCbCr by Adobe": {adobe("\x01")},
		"JFIF and Adobe": {segment(0xe0, "JFIF\x00"), adobe("\x00")},
	} {
		three := of["4:4:4"]
		three.segments = segments
		of[name] = three
	}
	late := of["4:2:0, separate scans"]
	late.scans = slices.Clone(late.scans)
	late.scans[1].segments = []string{segment(0xdb, "\x00"+strings.Repeat("\x02", 64)), segment(0xdd, "\x00\x00")}
	of["another quantizer between scans"] = late
	missing := of["4:4:4, separate scans"]
	missing.scans = missing.scans[1:2]
	of["planes without a scan"] = missing
	twice := of["4:2:0"]
	twice.scans = []scanOf{{planes: all(3), to: 63}, {planes: []int{1}, to: 63}, {planes: all(3), to: 63}}
	of["planes twice"] = twice
	return of
}

func TestEveryKindAgrees(t *testing.T) {
	for name, s := range kinds() {
		t.Run(name, func(t *testing.T) {
			for _, size := range [][2]int{{43, 29}, {1, 1}, {33, 17}, {8, 40}} {
				s.width, s.height = size[0], size[1]
				agrees(t, s.bytes())
			}
		})
	}
}

// TestEveryKindIsRead: the files are not refused by both decoders.
func TestEveryKindIsRead(t *testing.T) {
	for name, s := range kinds() {
		if _, err := strips(s.bytes()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRestartsCountBlocks compares files with restarts with the same ones without: in a scan of a single plane they are
// counted in blocks, as T.81 has it, which image/jpeg does not do.
func TestRestartsCountBlocks(t *testing.T) {
	n := 0
	for name, s := range kinds() {
		if s.interval == 0 || !restartsByBlock(s.bytes()) {
			continue
		}
		with, err := strips(s.bytes())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s.interval = 0
		without, err := strips(s.bytes())
		if err != nil {
			t.Fatal(err)
		}
		sameSamples(t, without, s.bytes(), 3)
		if n++; !bytes.Equal(with.Y, without.Y) || !bytes.Equal(with.Cb, without.Cb) ||
			!bytes.Equal(with.black, without.black) {
			t.Errorf("%s: restarts make another picture", name)
		}
	}
	if n < 20 {
		t.Errorf("only %d files", n)
	}
}

// TestRunAcrossScansIsRefused has a run of two blocks in a scan of one block.
func TestRunAcrossScansIsRefused(t *testing.T) {
	s := kinds()["4:4:4, separate scans"]
	s.width, s.height, s.sample = 8, 8, func(x, y, plane int) uint8 { return 128 }
	file := s.bytes()
	if _, err := strips(file); err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(file, []byte{0xff, 0xda}) + 10
	if string(file[at:at+2]) != "\x00\x07" { // 5 bits for the mean, 8 for the end of the block
		t.Fatalf("the scan has the data %#x", file[at:at+2])
	}
	copy(file[at:], "\x00\x83") // a run of two or three, and a bit for two
	if _, err := jpeg.Decode(bytes.NewReader(file)); err != nil {
		t.Fatalf("image/jpeg refuses it: %v", err)
	}
	if _, err := strips(file); !errors.Is(err, jfif.ErrCarried) || !errors.Is(err, jfif.ErrInvalid) {
		t.Errorf("got %v, want %v", err, jfif.ErrCarried)
	}
}

// TestCutFilesAgree cuts files of every kind at 200 places, or at a few if the test is to be short.
func TestCutFilesAgree(t *testing.T) {
	places := 200
	if testing.Short() {
		places = 7
	}
	for name, s := range kinds() {
		file := s.bytes()
		for i := range places {
			n := len(file) * i / places
			if agrees(t, file[:n:n]) {
				t.Errorf("%s: %d of %d bytes are read", name, n, len(file))
			}
			agrees(t, append(file[:n:n], 0xff, 0xd9))
		}
	}
}

// TestDamagedKindsAgree damages files of every kind.
func TestDamagedKindsAgree(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	of := map[string][]byte{}
	for name, s := range kinds() {
		of[name] = s.bytes()
	}
	names, read := slices.Sorted(maps.Keys(of)), 0
	rounds := 20
	if testing.Short() {
		rounds = 2
	}
	for i := range rounds * len(names) {
		file := bytes.Clone(of[names[i%len(names)]])
		for range 1 + random.IntN(2) {
			at := 2 + random.IntN(len(file)-2)
			switch random.IntN(3) {
			case 0:
				file[at] = byte(random.IntN(256))
			case 1:
				file[at] ^= 1 << random.IntN(8)
			case 2:
				file = slices.Delete(file, at, at+1)
			}
		}
		if agrees(t, file) {
			read++
		}
	}
	t.Logf("%d of %d were read", read, rounds*len(names))
	if read < rounds*len(names)/20 {
		t.Errorf("only %d damaged files could be read, too few to tell", read)
	}
}

// TestLittleDataTakesLittleMemory: a file that declares 50 megapixels and ends early allocates rows of coefficients
// only as far as its data reaches.
func TestLittleDataTakesLittleMemory(t *testing.T) {
	for name, s := range kinds() {
		file := s.bytes()
		at := bytes.Index(file, []byte{0xff, max(s.marker, 0xc0), 0x00})
		copy(file[at+5:], "\x13\x88\x27\x10") // 5000 rows of 10000 pixels
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var d jfif.Decoder
		if d.Open(file) == nil {
			d.Load(t.Context())
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 12<<20 {
			t.Errorf("%s: %d bytes are allocated for a file of %d", name, n, len(file))
		}
	}
}

// TestLoadEndsWithItsContext: it looks at the context between rows of MCUs.
func TestLoadEndsWithItsContext(t *testing.T) {
	var d jfif.Decoder
	if err := d.Open(kinds()["4:2:0, progressive, successive approximation"].bytes()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Load(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
