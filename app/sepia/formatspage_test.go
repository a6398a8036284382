package sepia_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagery/app/imagery"
	"imagery/app/sepia"
)

var update = flag.Bool("update", false, "write the tables of docs/formats.md")

const (
	formatsPage = "../../docs/formats.md"
	samples     = "testdata/formats"
)

// sample is a file that scripts/formats has made, and its row in the table.
type sample struct {
	file, is string
	most     int // limits the difference of a channel from the reference
}

// TestFormatsPage processes a file of each kind and compares it with the pixels of another program. The tables of
// docs/formats.md have the results.
func TestFormatsPage(t *testing.T) {
	b, err := os.ReadFile(formatsPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	known := map[string]bool{}
	for _, table := range formatTables {
		var rows strings.Builder
		for _, s := range table.samples {
			known[s.file] = true
			rows.WriteString(s.row(t, table.name == "refused"))
		}
		begin, end := "<!-- begin "+table.name+" -->\n", "<!-- end "+table.name+" -->"
		head, rest, _ := strings.Cut(page, begin)
		old, tail, ok := strings.Cut(rest, end)
		if !ok {
			t.Fatalf("%s has no table %s", formatsPage, table.name)
		}
		want := "| File | What it is | Result | Difference: greatest, mean |\n|---|---|---|---|\n" + rows.String()
		if table.name == "refused" {
			want = "| File | What it is | Refusal |\n|---|---|---|\n" + rows.String()
		}
		if old != want && !*update {
			t.Errorf("%s: table %s is not up to date: go test ./app/sepia -run FormatsPage -update", formatsPage, table.name)
		}
		page = head + begin + want + end + tail
	}
	files, err := filepath.Glob(samples + "/*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		if name := filepath.Base(path); !known[strings.TrimSuffix(name, ".ref.png")] {
			t.Errorf("no table has %s", name)
		}
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(formatsPage, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// row processes the sample and returns its row.
func (s sample) row(t *testing.T, refused bool) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(samples, s.file))
	if err != nil {
		t.Fatal(err)
	}
	result, err := sepia.Filter{}.Apply(context.Background(), raw)
	if refused {
		var bad *imagery.BadPhoto
		if !errors.As(err, &bad) {
			t.Errorf("%s: %v, want a refusal", s.file, err)
			return ""
		}
		return fmt.Sprintf("| `%s` | %s | %s |\n", s.file, s.is, bad.Reason)
	}
	if err != nil {
		t.Errorf("%s: %v", s.file, err)
		return ""
	}
	return s.processed(t, raw, result)
}

// processed compares a result with the reference and returns the row of the sample.
func (s sample) processed(t *testing.T, raw []byte, result imagery.Result) string {
	t.Helper()
	img, format, err := image.Decode(result.Body)
	if err != nil || format != map[string]string{"jpg": "jpeg", "png": "png"}[result.Ext] {
		t.Errorf("%s: the result is %q and named %s, %v", s.file, format, result.Ext, err)
		return ""
	}
	reference, err := os.ReadFile(filepath.Join(samples, s.file+".ref.png"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := png.Decode(bytes.NewReader(reference))
	if err != nil {
		t.Fatal(err)
	}
	if img.Bounds() != want.Bounds() {
		t.Errorf("%s: the result is %v, want %v", s.file, img.Bounds(), want.Bounds())
		return ""
	}
	// Before the encoder, because its loss says nothing about the format.
	greatest, mean := difference(decoded(t, raw), want, format == "jpeg")
	if greatest > s.most {
		t.Errorf("%s differs by %d, want at most %d", s.file, greatest, s.most)
	}
	text := fmt.Sprintf("%s, %d x %d", strings.ToUpper(format), img.Bounds().Dx(), img.Bounds().Dy())
	if result.Warning != "" {
		text += ". Warning: " + result.Warning
	}
	return fmt.Sprintf("| `%s` | %s | %s | %d, %.1f |\n", s.file, s.is, text, greatest, mean)
}

// difference compares filtered pixels with those of a reference to which the definition of the filter is applied. Those
// of a JPEG have a quarter of the chroma on both sides. Colours that nobody sees, of transparent pixels, do not count.
func difference(got, reference image.Image, planes bool) (greatest int, mean float64) {
	filtered := straightPixels(reference).sepiaOf(1)
	want := filtered.at
	if planes {
		want = straightPixels(filtered.inPlanes()).at
	}
	at, sum, n := straightPixels(got).at, 0, 0
	for y := range filtered.height {
		for x := range filtered.width {
			g, w := at(x, y), want(x, y)
			if g.A == 0 && w.A == 0 {
				continue
			}
			for i, v := range channels(g) {
				d := max(v-channels(w)[i], channels(w)[i]-v)
				greatest, sum, n = max(greatest, d), sum+d, n+1
			}
		}
	}
	return greatest, float64(sum) / float64(max(n, 1))
}

func channels(c color.NRGBA) [4]int { return [4]int{int(c.R), int(c.G), int(c.B), int(c.A)} }
