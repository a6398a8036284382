package heif_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"io"
	"os"
	"path/filepath"
	"testing"

	"imagery/app/sepia/heif"
)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestParse compares files with what heif-info and avifdec --info say of them.
func TestParse(t *testing.T) {
	srgb := &heif.CICP{Primaries: 1, Transfer: 13, Matrix: 6, FullRange: true}
	unnamed := &heif.CICP{Primaries: 2, Transfer: 2, Matrix: 6, FullRange: true}
	for _, want := range []struct {
		name          string
		format        heif.Format
		width, height int
		crop          image.Rectangle
		orientation   int
		columns, rows int
		depth         int
		chroma        heif.Chroma
		alpha, prem   bool
		cicp          *heif.CICP
	}{
		{"alpha.heic", heif.HEIC, 43, 29, image.Rect(0, 0, 43, 29), 1, 1, 1, 8, heif.Chroma420, true, false, nil},
		{"thumb.heic", heif.HEIC, 43, 29, image.Rect(0, 0, 43, 29), 1, 1, 1, 8, heif.Chroma420, false, false, nil},
		{"alpha.avif", heif.AVIF, 43, 29, image.Rect(0, 0, 43, 29), 1, 1, 1, 8, heif.Chroma420, true, false, unnamed},
		{"prem.avif", heif.AVIF, 43, 29, image.Rect(0, 0, 43, 29), 1, 1, 1, 8, heif.Chroma444, true, true, srgb},
		{"grey.avif", heif.AVIF, 43, 29, image.Rect(0, 0, 43, 29), 1, 1, 1, 8, heif.Monochrome, false, false, srgb},
		{"grid.avif", heif.AVIF, 128, 128, image.Rect(0, 0, 128, 128), 1, 2, 2, 8, heif.Chroma444, false, false, srgb},
		{"seq.avif", heif.AVIF, 64, 64, image.Rect(0, 0, 64, 64), 1, 1, 1, 8, heif.Chroma444, true, false, srgb},
		// 21 x 11 pixels around a centre 4 to the right and 2 down; then a quarter counter-clockwise, then top and
		// bottom are exchanged: together the transposition
		{"turned.avif", heif.AVIF, 11, 21, image.Rect(15, 11, 36, 22), 5, 1, 1, 10, heif.Chroma444, false, false, srgb},
	} {
		t.Run(want.name, func(t *testing.T) {
			file := sample(t, want.name)
			m, err := heif.Parse(file)
			if err != nil {
				t.Fatal(err)
			}
			if m.Format != want.format || m.Width != want.width || m.Height != want.height || m.Crop != want.crop ||
				m.Orientation != want.orientation || m.Premultiplied != want.prem || (m.Alpha != nil) != want.alpha {
				t.Errorf("got %+v", m)
			}
			p := m.Plane
			if p.Columns != want.columns || p.Rows != want.rows || p.Depth != want.depth || p.Chroma != want.chroma {
				t.Errorf("got %d x %d tiles of %d bits, chroma %d", p.Columns, p.Rows, p.Depth, p.Chroma)
			}
			if want.cicp != nil && (p.CICP == nil || *p.CICP != *want.cicp) {
				t.Errorf("got the colours %+v", p.CICP)
			}
			for i, it := range p.Tiles {
				alone, err := it.File(file)
				if err != nil {
					t.Fatal(err)
				}
				one, err := heif.Parse(alone)
				if err != nil {
					t.Fatalf("the file of tile %d: %v", i, err)
				}
				got, err := one.Plane.Tiles[0].Data(alone)
				data, _ := it.Data(file)
				if err != nil || !bytes.Equal(got, data) || one.Width != it.Width || one.Orientation != 1 {
					t.Errorf("the file of tile %d has another picture: %+v, %v", i, one, err)
				}
			}
		})
	}
}

// TestSequence hides the primary item: the first frame of the track has the same data.
func TestSequence(t *testing.T) {
	file := sample(t, "seq.avif")
	primary, err := heif.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	copy(file[bytes.Index(file, []byte("meta")):], "free")
	m, err := heif.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := primary.Plane.Tiles[0].Data(file)
	got, err := m.Plane.Tiles[0].Data(file)
	if !m.Sequence || primary.Sequence || m.Width != 64 || m.Height != 64 || err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %+v, %v", m, err)
	}
}

// TestCut cuts files at every byte: the whole is never refused for good by what is there.
func TestCut(t *testing.T) {
	for _, name := range []string{"alpha.heic", "turned.avif", "grid.avif", "seq.avif"} {
		file := sample(t, name)
		for n := range file {
			if _, err := heif.Parse(file[:n]); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%s cut to %d bytes: %v", name, n, err)
			}
			if _, err := heif.Read(bytes.NewReader(file[:n])); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%s cut to %d bytes: %v", name, n, err)
			}
		}
	}
}

// TestLyingSize declares a width of 8: the header of the coded picture tells the truth.
func TestLyingSize(t *testing.T) {
	for _, name := range []string{"thumb.heic", "grey.avif"} {
		file := sample(t, name)
		for rest := file; ; {
			at := bytes.Index(rest, []byte("ispe\x00\x00\x00\x00"))
			if at < 0 {
				break
			}
			rest = rest[at+8:]
			binary.BigEndian.PutUint32(rest, 8)
		}
		if m, err := heif.Parse(file); err == nil {
			t.Errorf("%s: got %+v", name, m)
		}
	}
}

func FuzzContainer(f *testing.F) {
	names, err := filepath.Glob("testdata/*.??i?")
	if err != nil || len(names) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range names {
		f.Add(sample(f, filepath.Base(name)))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := heif.Parse(file)
		if err != nil {
			return
		}
		p := m.Plane
		if m.Width <= 0 || m.Height <= 0 || !m.Crop.In(image.Rect(0, 0, p.Width, p.Height)) || m.Crop.Empty() ||
			m.Orientation < 1 || m.Orientation > 8 || len(p.Tiles) != p.Columns*p.Rows ||
			p.Columns*p.TileWidth < p.Width || p.Rows*p.TileHeight < p.Height {
			t.Fatalf("accepted %+v", m)
		}
		if m.Alpha != nil && (m.Alpha.Width != p.Width || m.Alpha.Height != p.Height) {
			t.Fatalf("accepted alpha of another size: %+v", m.Alpha)
		}
		for _, it := range p.Tiles {
			b, err := it.File(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := heif.Parse(b); err != nil {
				t.Fatalf("the file of a tile: %v", err)
			}
			if len(b) > heif.MaxBytes+1<<20 {
				t.Fatal("a file of a tile is too long")
			}
		}
	})
}
