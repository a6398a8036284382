package jfif_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"imagery/app/sepia/jfif"
)

// photo has the planes of a file.
type photo struct {
	*image.YCbCr
	black []uint8 // with the stride of luma
	model jfif.Model
	rough bool // has blocks of which image/jpeg makes something else: those that overflow there
}

// strips reads a whole file, and refuses it if it is damaged.
func strips(file []byte) (*photo, error) {
	p, damage, err := mended(file)
	if err == nil && damage != jfif.Intact {
		return nil, fmt.Errorf("%w: damage %d", jfif.ErrInvalid, damage)
	}
	return p, err
}

// mended reads a whole file.
func mended(file []byte) (*photo, jfif.Damage, error) {
	var d jfif.Decoder
	p, err := stripsOf(&d, file)
	return p, d.Damage, err
}

func stripsOf(d *jfif.Decoder, file []byte) (*photo, error) {
	if err := d.Open(file); err != nil {
		return nil, err
	}
	if d.Width*d.Height > 1<<20 {
		return nil, errLarge
	}
	if err := d.Load(context.Background()); err != nil {
		return nil, err
	}
	m := image.NewYCbCr(image.Rect(0, 0, (d.Width+31)&^31, (d.Height+15)&^15), d.Ratio)
	for _, plane := range [][]uint8{m.Y, m.Cb, m.Cr} { // nothing may remain of it
		for i := range plane {
			plane[i] = 99
		}
	}
	p := &photo{model: d.Model}
	if d.Model >= jfif.CMYK {
		p.black = make([]uint8, len(m.Y))
	}
	for y := 0; y < d.Height; y += d.StripHeight {
		s, c, black := *m, m.COffset(0, y), p.black
		s.Y, s.Cb, s.Cr = m.Y[y*m.YStride:], m.Cb[c:], m.Cr[c:]
		if black != nil {
			black = black[y*m.YStride:]
		}
		if err := d.Strip(context.Background(), &s, black); err != nil {
			return nil, err
		}
	}
	if n := d.Held(); n > 0 {
		return nil, fmt.Errorf("%d rows of coefficients are held after the last strip", n)
	}
	p.YCbCr, p.rough = m.SubImage(image.Rect(0, 0, d.Width, d.Height)).(*image.YCbCr), d.Rough()
	return p, nil
}

var errLarge = errors.New("too large for a test")

// at returns the samples of a pixel as image/jpeg returns them, for its type of image.
func (p *photo) at(x, y int) [4]uint8 {
	i, j := p.YOffset(x, y), p.COffset(x, y)
	luma, cb, cr := p.Y[i], p.Cb[j], p.Cr[j]
	switch p.model {
	case jfif.Grey:
		return [4]uint8{luma}
	case jfif.CMYK:
		return [4]uint8{255 - luma, 255 - cb, 255 - cr, 255 - p.black[i]}
	case jfif.YCCK:
		r, g, b := color.YCbCrToRGB(luma, cb, cr)
		return [4]uint8{r, g, b, 255 - p.black[i]}
	}
	return [4]uint8{luma, cb, cr}
}

// standardAt is the same for an image of image/jpeg.
func standardAt(m image.Image, x, y int) [4]uint8 {
	switch m := m.(type) {
	case *image.Gray:
		return [4]uint8{m.GrayAt(x, y).Y}
	case *image.RGBA:
		c := m.RGBAAt(x, y)
		return [4]uint8{c.R, c.G, c.B}
	case *image.CMYK:
		c := m.CMYKAt(x, y)
		return [4]uint8{c.C, c.M, c.Y, c.K}
	}
	c := m.(*image.YCbCr).YCbCrAt(x, y)
	return [4]uint8{c.Y, c.Cb, c.Cr}
}

// sameSamples fails where a sample differs from that of image/jpeg by more than most, and returns the difference in
// the mean. Both round, at different points; of YCCK image/jpeg returns sums of samples.
func sameSamples(t testing.TB, got *photo, file []byte, most int) float64 {
	t.Helper()
	want, err := jpeg.Decode(bytes.NewReader(file))
	if err != nil && got.model == jfif.CMYK { // image/jpeg wants to be told so
		want, err = jpeg.Decode(bytes.NewReader(slices.Concat(file[:2], []byte(adobe("\x00")), file[2:])))
	}
	if err != nil {
		t.Fatalf("image/jpeg refuses it: %v", err)
	}
	types := map[jfif.Model]string{jfif.Grey: "*image.Gray", jfif.YCbCr: "*image.YCbCr", jfif.RGB: "*image.RGBA",
		jfif.CMYK: "*image.CMYK", jfif.YCCK: "*image.CMYK"}
	if is := fmt.Sprintf("%T", want); got.Rect != want.Bounds() || types[got.model] != is {
		t.Fatalf("got %v, model %v; image/jpeg has %v, %v", got.Rect, got.model, want.Bounds(), is)
	}
	if m, ok := want.(*image.YCbCr); ok && m.SubsampleRatio != got.SubsampleRatio {
		t.Fatalf("sampling is %v, want %v", got.SubsampleRatio, m.SubsampleRatio)
	}
	if got.model == jfif.YCCK {
		most *= 3
	}
	sum, n := 0, 0
	for y := range got.Rect.Dy() {
		for x := range got.Rect.Dx() {
			g, w := got.at(x, y), standardAt(want, x, y)
			for i := range g {
				d := int(g[i]) - int(w[i])
				sum, n = sum+max(d, -d), n+1
				if max(d, -d) > most && !got.rough {
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
		if !errors.Is(err, jfif.ErrInvalid) {
			t.Errorf("cut by %d bytes before the restart: got %v, want %v", cut+1, err, jfif.ErrInvalid)
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
			d.Strip(context.Background(), m, nil)
		}
		if err := d.Open(file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	// A file without tables has none, whatever was read before.
	bare := bytes.Clone(all["detail"])
	bare[bytes.Index(bare, []byte{0xff, 0xc4})+1] = 0xfe // a comment
	if err := d.Open(bare); err != nil {
		t.Fatal(err)
	}
	if err := d.Strip(context.Background(), m, nil); !errors.Is(err, jfif.ErrInvalid) {
		t.Errorf("got %v, want %v", err, jfif.ErrInvalid)
	}
}

// TestStripsEndWithTheContext: a file may have a plane in as many scans as it likes, which take time.
func TestStripsEndWithTheContext(t *testing.T) {
	twice := kinds()["planes twice"]
	var d jfif.Decoder
	if err := d.Open(twice.bytes()); err != nil || !d.Repeated {
		t.Fatalf("repeated %t, %v", d.Repeated, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := image.NewYCbCr(image.Rect(0, 0, 64, 32), image.YCbCrSubsampleRatio420)
	if err := d.Strip(ctx, m, nil); err != context.Canceled {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	separate := kinds()["4:2:0, separate scans"]
	if err := d.Open(separate.bytes()); err != nil || d.Repeated {
		t.Errorf("separate scans: repeated %t, %v", d.Repeated, err)
	}
}

// restartsByBlock reports whether image/jpeg cannot read the file because of its restarts.
func restartsByBlock(file []byte) bool {
	var d jfif.Decoder
	return d.Open(file) == nil && d.RestartsByBlock()
}

// agrees fails unless image/jpeg reads the same samples from a file, or refuses it too.
func agrees(t testing.TB, file []byte) (read bool) {
	t.Helper()
	m, err := strips(file)
	switch {
	case restartsByBlock(file): // see TestRestartsCountBlocks
	case err == nil:
		sameSamples(t, m, file, 3) // steep blocks are rounded by 3
	case errors.Is(err, errLarge), errors.Is(err, jfif.ErrCarried):
	case !errors.Is(err, jfif.ErrInvalid):
		t.Fatal(err)
	default:
		if m, err := jpeg.Decode(bytes.NewReader(file)); err == nil && !m.Bounds().Empty() && !overfull(file) {
			t.Fatal("image/jpeg reads it")
		}
	}
	return err == nil
}

// TestUnusualFilesAgree lists files that are not as encoders make them.
func TestUnusualFilesAgree(t *testing.T) {
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
			agrees(t, raw)
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
		if agrees(t, file) {
			read++
		}
	}
	if read < 100 {
		t.Errorf("only %d damaged files could be read, too few to tell", read)
	}
}

// FuzzDecode: files are read as image/jpeg reads them, or both refuse them.
func FuzzDecode(f *testing.F) {
	for _, file := range files(f, 40, 30) {
		f.Add(file)
	}
	for _, s := range kinds() {
		f.Add(s.bytes())
	}
	f.Add(encode(jfif.NewEncoder(50), picture(16, 700, samples["detail"])))
	within, _ := sideBySide()
	f.Add(within)
	f.Fuzz(func(t *testing.T, file []byte) { agrees(t, file) })
}
