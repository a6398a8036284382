package pngstream_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"imagery/app/sepia/pngstream"
)

// TestCutShort cuts files at 200 places, among them every byte of the last chunks. Only what is behind the rows may be
// missing: the end of their compressed data, two checksums and IEND.
func TestCutShort(t *testing.T) {
	for _, interlaced := range []bool{false, true} {
		raw := file{width: 40, height: 30, depth: 8, colour: 2, filter: -1, interlaced: interlaced}.bytes()
		for i := range 200 {
			n := i * len(raw) / 200
			if i >= 150 {
				n = len(raw) - 200 + i
			}
			const lastBlock, sums, end = 6, 8, 12
			accepted := same(t, fmt.Sprintf("%d of %d bytes", n, len(raw)), slices.Clip(raw[:n]))
			missing := len(raw) - n
			if accepted && missing > lastBlock+sums+end || !accepted && missing <= sums+end {
				t.Fatalf("%d of %d bytes: accepted %v", n, len(raw), accepted)
			}
		}
	}
}

// TestPieces splits the data: into single bytes, with empty IDAT chunks between them, and in front of the checksum.
func TestPieces(t *testing.T) {
	kinds(21, 13, func(name string, f file) {
		data := compress(f.rows(), zlib.DefaultCompression)
		single := [][]byte{{}}
		for i := range data {
			single = append(single, data[i:i+1], nil)
		}
		for _, pieces := range [][][]byte{single, {data[:len(data)-4], data[len(data)-4:]}, {nil, nil, data, nil}} {
			if !same(t, name, f.withData(pieces...)) {
				t.Errorf("%s: refused", name)
			}
		}
	})
}

// TestDamaged flips each bit of a file: all parts of it have a checksum.
func TestDamaged(t *testing.T) {
	raw := file{width: 7, height: 5, depth: 8, colour: 3, filter: -1, palette: make([]byte, 30),
		transparency: []byte{1, 2, 3}}.withData(compress(make([]byte, 40), 9))
	for i := range raw {
		for bit := range 8 {
			damaged := bytes.Clone(raw)
			damaged[i] ^= 1 << bit
			same(t, fmt.Sprintf("bit %d of byte %d", bit, i), damaged)
		}
	}
}

// TestOrder tries sequences of chunks that image/png accepts or refuses.
func TestOrder(t *testing.T) {
	for _, colour := range []byte{0, 2, 3, 4, 6} {
		f := file{width: 3, height: 2, depth: 8, colour: colour, filter: 0}
		data := compress(f.rows(), 6)
		parts := map[byte][]byte{
			'h': f.head()[len(signature):], 'p': chunk("PLTE", make([]byte, 12)), 'd': chunk("IDAT", data),
			't': chunk("tRNS", make([]byte, map[byte]int{0: 2, 2: 6}[colour])), 'e': chunk("IEND", nil),
			'x': chunk("teXt", []byte("comment")), '1': chunk("IDAT", data[:9]), '2': chunk("IDAT", data[9:]),
			'E': chunk("IEND", []byte{1}), 'P': chunk("PLTE", make([]byte, 13)), 'L': chunk("PLTE", make([]byte, 771)),
			'T': chunk("tRNS", make([]byte, 257)), '0': chunk("IDAT", nil), 'g': []byte("garbage"),
		}
		accepted := 0
		for _, order := range strings.Fields(`hde hpde hptde htde htpde xhde hhde phde dhe hxpxtxdxe h12e h1x2e
			h10020e hd0e hd00de hdxde hdx2e hdpe hpdpe hdte hd he hdee hdeg hdE hPde hLde hTde hpTde hppde htt hpttde
			hdhe hpdxe hp12e h0de hp0de hpd`) {
			raw := []byte(signature)
			for _, c := range []byte(order) {
				raw = append(raw, parts[c]...)
			}
			if same(t, fmt.Sprintf("colour %d: %s", colour, order), raw) {
				accepted++
			}
		}
		if accepted < 6 {
			t.Errorf("colour %d: only %d orders are accepted", colour, accepted)
		}
	}
}

// TestTail has data behind the picture: in the compressed data, behind its end, or without its checksum.
func TestTail(t *testing.T) {
	f := file{width: 5, height: 5, depth: 8, colour: 2, filter: -1}
	rows, data := f.rows(), compress(f.rows(), 6)
	for name, raw := range map[string][]byte{
		"a row more":           f.withData(compress(append(f.rows(), rows[:16]...), 6)),
		"a byte more":          f.withData(compress(append(f.rows(), 0), 6)),
		"a byte less":          f.withData(compress(rows[:len(rows)-1], 6)),
		"garbage":              f.withData(append(bytes.Clone(data), 1, 2, 3)),
		"much garbage":         f.withData(append(bytes.Clone(data), make([]byte, 5000)...)),
		"garbage in its chunk": f.withData(data, []byte{1, 2, 3}),
		"no checksum":          f.withData(data[:len(data)-4]),
		"wrong checksum":       f.withData(append(bytes.Clone(data[:len(data)-1]), data[len(data)-1]+1)),
		"stored":               f.withData(compress(rows, 0)),
		"filter 5":             file{width: 5, height: 5, depth: 8, colour: 2, filter: 5}.bytes(),
		"no data":              f.withData(),
		"empty data":           f.withData(nil),
		"a dictionary":         f.withData([]byte{0x78, 0xbb, 0, 0, 0, 1, 3, 0, 0, 0, 0, 1}),
	} {
		same(t, name, raw)
	}
	// A chunk that is longer than what the decompressor has read, with a checksum and an end where that stopped.
	const buffered = 4096
	part := append([]byte("IDAT"), append(data, make([]byte, buffered-len(data))...)...)
	raw := binary.BigEndian.AppendUint32(f.head(), buffered+16)
	raw = binary.BigEndian.AppendUint32(append(raw, part...), crc32.ChecksumIEEE(part))
	raw = append(raw, chunk("IEND", nil)...)
	if got, err := readAll(bytes.NewReader(raw)); err != nil || got.mended != pngstream.ErrTail {
		t.Errorf("an end within the chunk: mended %v, %v; want %v", got.mended, err, pngstream.ErrTail)
	}
}

// TestErrorOfTheFile returns the error of the reader, whatever was read when it failed.
func TestErrorOfTheFile(t *testing.T) {
	raw := file{width: 100, height: 100, depth: 8, colour: 2, filter: -1}.bytes()
	lost := errors.New("connection lost")
	for _, n := range []int{0, 8, 20, 33, 45, 5000, len(raw) - 20, len(raw) - 1} {
		r, err := pngstream.NewReader(io.MultiReader(bytes.NewReader(raw[:n]), iotest.ErrReader(lost)))
		for err == nil {
			_, err = r.Row()
		}
		if !errors.Is(err, lost) {
			t.Errorf("after %d bytes: got %v, want the reader's error", n, err)
		}
		if r != nil {
			if _, again := r.Row(); again != err {
				t.Errorf("after %d bytes: got %v, then %v", n, err, again)
			}
		}
	}
	if _, err := readAll(iotest.OneByteReader(bytes.NewReader(raw))); err != nil {
		t.Errorf("byte by byte: %v", err)
	}
}

// TestMemory declares 50 megapixels with a kilobyte of data: plain, and interlaced, where few bands are begun.
func TestMemory(t *testing.T) {
	for _, interlaced := range []bool{false, true} {
		f := file{width: 10000, height: 5000, depth: 16, colour: 6, interlaced: interlaced}
		for name, data := range map[string][]byte{"stored": make([]byte, 1000), "": compress(make([]byte, 1000), 0)} {
			raw := f.withData(data)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := readAll(bytes.NewReader(raw))
			runtime.ReadMemStats(&after)
			const rows = 4 * 8 * 10000
			if n := after.TotalAlloc - before.TotalAlloc; err == nil || n > rows+1<<20 {
				t.Errorf("%s, interlaced %v: got %v and %d bytes of memory", name, interlaced, err, n)
			}
		}
	}
}

// TestRowsNeedNoMemory reads a picture without an allocation per row; an interlaced one needs its bands.
func TestRowsNeedNoMemory(t *testing.T) {
	kinds(500, 300, func(name string, f file) {
		raw := f.bytes()
		most := 30.0
		if f.interlaced {
			most += 2
		}
		if n := testing.AllocsPerRun(2, func() {
			r, err := pngstream.NewReader(bytes.NewReader(raw))
			for err == nil {
				_, err = r.Row()
			}
			if err != io.EOF {
				t.Fatal(err)
			}
		}); n > most {
			t.Errorf("%s: %v allocations", name, n)
		}
	})
}

// TestBandsAreReleased reads an interlaced picture of several bands. When half its rows have been taken, half of its
// memory is free.
func TestBandsAreReleased(t *testing.T) {
	const side = 3000
	raw := file{width: side, height: side, depth: 8, colour: 2, filter: 0, interlaced: true}.withData(
		compress(make([]byte, passBytes(side)), 1))
	r, err := pngstream.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	var inUse [2]int64
	for i := range side - 10 {
		if _, err := r.Row(); err != nil {
			t.Fatal(err)
		}
		if i == 0 || i == side/2 {
			var stats runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&stats)
			inUse[min(i, 1)] = int64(stats.HeapAlloc)
		}
	}
	const half = 3 * side * side / 2
	if freed := inUse[0] - inUse[1]; freed < half-2<<20 {
		t.Errorf("half the rows free %d bytes, want about %d", freed, half)
	}
	runtime.KeepAlive(r)
}

// passBytes returns the size of the passes of an RGB picture.
func passBytes(side int) (n int) {
	for _, p := range adam7 {
		n += (1 + 3*((side-p[0]+p[2]-1)/p[2])) * ((side - p[1] + p[3] - 1) / p[3])
	}
	return n
}

// TestSize refuses sizes that image/png refuses, before it allocates anything.
func TestSize(t *testing.T) {
	for _, size := range [][2]int{{0, 1}, {1, 0}, {1 << 31, 1}, {1, 1<<32 - 1}, {1<<31 - 1, 1<<31 - 1}} {
		raw := file{width: size[0], height: size[1], depth: 8, colour: 6}.head()
		if same(t, fmt.Sprint(size), append(raw, chunk("IEND", nil)...)) {
			t.Errorf("%v is accepted", size)
		}
	}
	long := binary.BigEndian.AppendUint32(file{width: 1, height: 1, depth: 8}.head(), 1<<31)
	same(t, "a chunk of 2 GiB", append(long, "teXtdata"...))
}
