package sepia_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"imagery/app/imagery"
	"imagery/app/sepia"
)

// refused fails unless err is a bad photo of that kind, with one sentence for a person.
func refused(t *testing.T, err error, kind imagery.BadKind) *imagery.BadPhoto {
	t.Helper()
	var bad *imagery.BadPhoto
	if !errors.As(err, &bad) {
		t.Fatalf("got %v, want a bad photo", err)
	}
	if bad.Err != nil && strings.Contains(bad.Err.Error(), " panicked: ") {
		t.Errorf("refused by a panic: %v", bad.Err)
	}
	if bad.Kind != kind {
		t.Errorf("kind %d (%v), want %d", bad.Kind, bad, kind)
	}
	if !strings.HasSuffix(bad.Reason, ".") || strings.Contains(bad.Reason, "\n") || len(bad.Reason) < 15 {
		t.Errorf("%q is not a sentence for a person", bad.Reason)
	}
	return bad
}

func TestSniff(t *testing.T) {
	for head, want := range map[string]sepia.Format{
		"\xff\xd8\xff\xe0":              sepia.JPEG,
		"\x89PNG\r\n\x1a\n":             sepia.PNG,
		"GIF87a":                        sepia.GIF,
		"GIF89a":                        sepia.GIF,
		"RIFF\x00\x00\x00\x00WEBP":      sepia.WebP,
		"RIFF\x24\x00\x00\x00WEBPVP8X ": sepia.WebP,
		"\x00\x00\x00\x1cftypavif":      sepia.HEIC, // and HEIF, until its pictures are known
		"\x00\x00\x00\x18ftypheic":      sepia.HEIC,
	} {
		if got, err := sepia.Sniff([]byte(head)); got != want || err != nil {
			t.Errorf("%q is %q, %v; want %q", head, got, err, want)
		}
	}
	for _, head := range []string{"", "\xff", "\xff\xd8", "GIF88a", "GIF8", "\x89PNG\n\x1a\n", "RIFF\x00\x00\x00\x00WEB",
		"RIFF\x00\x00\x00\x00WAVEfmt ", "II*\x00\x08\x00\x00\x00", "MM\x00*\x00\x00\x00\x08", "BM\x36\x00\x00\x00\x00\x00",
		"\x00\x00\x00\x18ftypmp42", "<svg xmlns=", "<?xml version", "hello world!",
		"\x00\x00\x01\x00",
		"%PDF-1.7\n%\xe2\xe3", strings.Repeat("\x00", 64)} {
		_, err := sepia.Sniff([]byte(head))
		refused(t, err, imagery.Unsupported)
		_, err = sepia.Inspect(strings.NewReader(head), 0)
		refused(t, err, imagery.Unsupported)
	}
}

// gigapixelGIF is a whole GIF of 34 bytes that claims 65535 x 65535 pixels.
var gigapixelGIF = []byte("GIF89a\xff\xff\xff\xff\x80\x00\x00\x00\x00\x00\xff\xff\xff," +
	"\x00\x00\x00\x00\xff\xff\xff\xff\x00\x02\x01\x00\x00;")

func TestSizesOfTheHeader(t *testing.T) {
	gif := func(w, h uint16) []byte {
		b := append([]byte("GIF89a"), binary.LittleEndian.AppendUint16(nil, w)...)
		return append(binary.LittleEndian.AppendUint16(b, h), 0, 0, 0, ';')
	}
	png := func(w, h int) []byte { return pngFile{width: w, height: h, depth: 8, colour: 6}.ihdr() }
	jpeg := func(w, h int) []byte {
		return jpegFile{width: w, height: h, components: []jpegPlane{{id: 1, h: 1, v: 1}}}.bytes()
	}
	lossless := func(w, h int) []byte {
		bits := uint32(w-1) | uint32(h-1)<<14
		return webpFile(webpChunk{"VP8L", binary.LittleEndian.AppendUint32([]byte{0x2f}, bits)})
	}
	lossy := func(w, h uint16) webpChunk {
		b := binary.LittleEndian.AppendUint16([]byte("\x10\x00\x00\x9d\x01\x2a"), w)
		return webpChunk{"VP8 ", binary.LittleEndian.AppendUint16(b, h)}
	}
	for name, c := range map[string]struct {
		raw []byte
		max int64
		ok  bool
	}{
		"GIF of a gigapixel":          {gigapixelGIF, 0, false},
		"PNG of a gigapixel":          {png(40000, 40000), 0, false},
		"PNG of overflowing sides":    {png(0xffffffff, 0xffffffff), 0, false},
		"PNG of 2^31 rows":            {png(1, 1<<31), 1 << 40, false},
		"PNG exactly at the limit":    {png(10000, 5000), 0, true},
		"PNG one row over":            {png(10000, 5001), 0, false},
		"PNG at a limit of its own":   {png(1000, 1000), 1_000_000, true},
		"PNG over a limit of its own": {png(1001, 1000), 1_000_000, false},
		"PNG as a column":             {png(1, 50_000_000), 0, true},
		"PNG without columns":         {png(0, 5), 0, false},
		"GIF at the limit":            {gif(10000, 5000), 0, true},
		"GIF without rows":            {gif(5, 0), 0, false},
		"JPEG at the limit":           {jpeg(10000, 5000), 0, true},
		"JPEG over the limit":         {jpeg(10000, 5001), 0, false},
		"JPEG without rows":           {jpeg(10, 0), 0, false},
		"WebP lossless at a limit":    {lossless(16000, 3125), 0, true},
		"WebP lossless over":          {lossless(16384, 16384), 0, false},
		"WebP lossy":                  {webpFile(lossy(100, 50)), 5000, true},
		"WebP lossy over":             {webpFile(lossy(101, 50)), 5000, false},
		"WebP without columns":        {webpFile(lossy(0, 50)), 0, false},
		"WebP on its canvas":          {webpFile(webpCanvas(100, 50, 0), lossy(100, 50)), 0, true},
		"WebP canvas too small":       {webpFile(webpCanvas(10, 5, 0), lossy(100, 50)), 0, false},
		"WebP canvas too large":       {webpFile(webpCanvas(101, 50, 0), lossy(100, 50)), 0, false},
		"WebP canvas of a gigapixel":  {webpFile(webpCanvas(1<<24, 1<<24, 0), lossy(100, 50)), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			var p sepia.Photo
			var err error
			allocated := allocates(func() { p, err = sepia.Inspect(bytes.NewReader(c.raw), c.max) })
			if limit := uint64(128 << 10); allocated > limit {
				t.Errorf("Inspect allocated %d bytes, more than %d", allocated, limit)
			}
			if !c.ok {
				refused(t, err, imagery.Unreadable)
				if errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%v asks for more bytes, which cannot help", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if p.Peak() > sepia.LargestPeak(max(c.max, sepia.DefaultMaxPixels)) {
				t.Errorf("a peak of %d bytes is above the largest", p.Peak())
			}
		})
	}
}

// allocates returns the bytes that f allocates. Tests of other packages run in other processes.
func allocates(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestDeclaredLengthsAllocateNothing(t *testing.T) {
	huge := func(id string) []byte { return append([]byte(id), 0xfe, 0xff, 0xff, 0xff) }
	png := append(pngFile{width: 5, height: 5, depth: 8, colour: 2}.ihdr(), "\xff\xff\xff\xffeXIfMM\x00*"...)
	for name, raw := range map[string][]byte{
		"WebP profile": append(webpFile(webpCanvas(5, 5, 0x20)), huge("ICCP")...),
		"WebP EXIF": append(webpFile(webpCanvas(5, 5, 8),
			webpChunk{"VP8L", webpLossless(5, 5, func(x, y int) uint32 { return 0 })}), huge("EXIF")...),
		"WebP picture": append(webpFile(), append(huge("VP8 "), "\x10\x00\x00\x9d\x01\x2a\x05\x00\x05\x00"...)...),
		"PNG EXIF":     png,
	} {
		t.Run(name, func(t *testing.T) {
			allocated := allocates(func() { sepia.Inspect(bytes.NewReader(raw), 0) })
			if allocated > 128<<10 {
				t.Errorf("Inspect allocated %d bytes", allocated)
			}
			allocated = allocates(func() { sepia.Filter{}.Apply(t.Context(), raw) })
			if allocated > 2<<20 {
				t.Errorf("Apply allocated %d bytes", allocated)
			}
		})
	}
}

func TestScansAreCounted(t *testing.T) {
	// One scan for DC, one for AC, and the extra ones.
	bomb := func(extra int) []byte {
		return jpegFile{width: 64, height: 64, progressive: true, extraScans: extra,
			components: []jpegPlane{{1, 1, 1, wave(0)}}}.bytes()
	}
	if _, err := sepia.Inspect(bytes.NewReader(bomb(sepia.MaxScans-2)), 0); err != nil {
		t.Errorf("%d scans: %v", sepia.MaxScans, err)
	}
	_, err := sepia.Inspect(bytes.NewReader(bomb(sepia.MaxScans-1)), 0)
	refused(t, err, imagery.Unreadable)
	_, err = sepia.Filter{}.Apply(t.Context(), bomb(sepia.MaxScans-1))
	refused(t, err, imagery.Unreadable)
}

func TestRefusedInWords(t *testing.T) {
	jpeg := jpegFile{width: 16, height: 16, components: []jpegPlane{{1, 1, 1, wave(0)}}}.bytes()
	sof := bytes.Index(jpeg, []byte{0xff, 0xc0})
	edit := func(raw []byte, at int, v byte) []byte {
		raw = bytes.Clone(raw)
		raw[at] = v
		return raw
	}
	png := pngFile{width: 5, height: 5, depth: 8, colour: 2}.ihdr()
	for name, c := range map[string]struct {
		raw  []byte
		kind imagery.BadKind
	}{
		"arithmetic JPEG":        {edit(jpeg, sof+1, 0xc9), imagery.Unreadable},
		"lossless JPEG":          {edit(jpeg, sof+1, 0xc3), imagery.Unreadable},
		"12 bit JPEG":            {edit(jpeg, sof+4, 12), imagery.Unreadable},
		"JPEG of two components": {edit(jpeg, sof+9, 2), imagery.Unreadable},
		"JPEG without segments":  {[]byte("\xff\xd8\xff\xd9"), imagery.Unreadable},
		"PNG of depth 3":         {edit(png, 24, 3), imagery.Unreadable},
		"PNG with a wrong sum":   {edit(png, 32, png[32]+1), imagery.Unreadable},
		"PNG without header": {
			append([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IDAT", make([]byte, 13))...), imagery.Unreadable},
		"WebP inter frame": {
			webpFile(webpChunk{"VP8 ", []byte("\x11\x00\x00\x9d\x01\x2a\x05\x00\x05\x00")}), imagery.Unreadable},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sepia.Inspect(bytes.NewReader(c.raw), 0)
			refused(t, err, c.kind)
			if errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%v asks for more bytes, which cannot help", err)
			}
		})
	}
}

// TestLegalSizeOfTooMuchMemory: the edge takes every photo within the limit of pixels, for that is what it promises;
// the few shapes that need more memory than was planned are refused, in words, where they would be held.
func TestLegalSizeOfTooMuchMemory(t *testing.T) {
	raw := pngFile{width: 25_000_000, height: 2, depth: 16, colour: 6}.ihdr()
	p, err := sepia.Inspect(bytes.NewReader(raw), 0)
	if err != nil || p.Peak() <= sepia.LargestPeak(sepia.DefaultMaxPixels) {
		t.Fatalf("at the edge: %+v, %v", p, err)
	}
	_, err = sepia.Filter{}.Inspect(raw)
	refused(t, err, imagery.Unreadable)
	_, err = sepia.Filter{}.Apply(t.Context(), raw)
	refused(t, err, imagery.Unreadable)
}
