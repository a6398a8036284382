package sepia_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color/palette"
	"image/gif"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"imagery/app/imagery"
	"imagery/app/sepia"
	"imagery/app/testing/short"
)

// processVariable makes the test binary a process that processes one photo: it says when it has read the file and when
// it is done, and waits for a line after each, so that its memory can be read from outside.
const processVariable = "SEPIA_TEST_PROCESS"

func TestMain(m *testing.M) {
	if path := os.Getenv(processVariable); path != "" {
		processInChild(path)
		return
	}
	os.Exit(m.Run())
}

func processInChild(path string) {
	in := bufio.NewReader(os.Stdin)
	raw, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	runtime.GC()
	fmt.Println("read")
	in.ReadString('\n')
	_, err = sepia.Filter{}.Apply(context.Background(), raw)
	runtime.KeepAlive(raw) // as the caller of Apply does
	fmt.Println(outcome(err))
	in.ReadString('\n')
}

func outcome(err error) string {
	if err != nil {
		return err.Error()
	}
	return "done"
}

// growth processes a photo in a process of its own and returns by how many bytes that process grew at its peak, without
// the pages of the program's file, which the system maps 16 at a time and can drop. want is the error that Apply has to
// return there.
func growth(tb testing.TB, raw []byte, want error) int64 {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "photo")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), processVariable+"="+path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	expect := func(want string) {
		tb.Helper()
		if !lines.Scan() || lines.Text() != want {
			tb.Fatalf("the child says %q (%v), want %q", lines.Text(), lines.Err(), want)
		}
	}
	expect("read")
	before, program := memory(tb, cmd.Process.Pid, "VmRSS"), memory(tb, cmd.Process.Pid, "RssFile")
	io.WriteString(in, "\n")
	expect(outcome(want))
	after := memory(tb, cmd.Process.Pid, "VmHWM")
	program = memory(tb, cmd.Process.Pid, "RssFile") - program
	in.Close()
	if err := cmd.Wait(); err != nil {
		tb.Fatal(err)
	}
	return after - before - program
}

// memory reads one line of /proc/pid/status, in bytes.
func memory(tb testing.TB, pid int, name string) int64 {
	tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, name+": %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	tb.Fatalf("no %s in /proc/%d/status", name, pid)
	return 0
}

// heavyKinds are the photos that take most memory for each of their pixels, or come closest to Peak; the files are
// small.
var heavyKinds = map[string]func(width, height int) []byte{
	"JPEG 4:2:0":             heavyJPEG(false, "123", []byte{0x22, 0x11, 0x11}),
	"JPEG 4:2:0 turned":      heavyJPEG(false, "123", []byte{0x22, 0x11, 0x11}, exifSegment(6)),
	"JPEG progressive 4:4:4": heavyJPEG(true, "123", []byte{0x11, 0x11, 0x11}),
	"JPEG progressive grey":  heavyJPEG(true, "1", []byte{0x11}),
	"JPEG progressive CMYK":  heavyJPEG(true, "CMYK", []byte{0x22, 0x11, 0x11, 0x22}, adobeSegment(0)),
	"JPEG RGB":               heavyJPEG(false, "RGB", []byte{0x11, 0x11, 0x11}),
	"JPEG RGB turned":        heavyJPEG(false, "RGB", []byte{0x11, 0x11, 0x11}, exifSegment(6)),
	"JPEG CMYK turned": heavyJPEG(
		false, "CMYK", []byte{0x22, 0x11, 0x11, 0x22}, adobeSegment(0), exifSegment(5)),
	"JPEG progressive turned":       heavyJPEG(true, "123", []byte{0x22, 0x11, 0x11}, exifSegment(6)),
	"JPEG progressive 4:4:4 turned": heavyJPEG(true, "123", []byte{0x11, 0x11, 0x11}, exifSegment(2)),
	"JPEG progressive RGB turned":   heavyJPEG(true, "RGB", []byte{0x11, 0x11, 0x11}, exifSegment(3)),
	"JPEG progressive CMYK turned": heavyJPEG(
		true, "CMYK", []byte{0x11, 0x11, 0x11, 0x11}, adobeSegment(0), exifSegment(8)),
	"PNG RGB":           heavyPNG(pngFile{depth: 8, colour: 2, sample: stripes}),
	"PNG of noise":      heavyPNG(pngFile{depth: 8, colour: 6, sample: noise8}),
	"PNG of grey noise": heavyPNG(pngFile{depth: 8, colour: 0, sample: noise8}),
	"PNG 16 bit":        heavyPNG(pngFile{depth: 16, colour: 6, sample: noise}),
	"PNG 16 bit turned": heavyPNG(
		pngFile{depth: 16, colour: 6, interlaced: true, sample: stripes, exif: exif(7)}),
	"PNG of noise turned":     heavyPNG(pngFile{depth: 8, colour: 2, sample: noise8, exif: exif(6)}),
	"PNG of noise interlaced": heavyPNG(pngFile{depth: 8, colour: 6, interlaced: true, sample: noise8}),
	"PNG palette turned": heavyPNG(
		pngFile{depth: 8, colour: 3, sample: stripes, palette: make([]byte, 768), exif: exif(6)}),
	"GIF": heavyGIF,
	"WebP lossless opaque": func(w, h int) []byte {
		pixel := func(x, y int) uint32 { return 0xff<<24 | uint32(noise(x, y, 0)) }
		return webpFile(webpChunk{"VP8L", webpLossless(w, h, pixel)})
	},
	"WebP lossless": func(w, h int) []byte {
		pixel := func(x, y int) uint32 { return uint32(noise(x, y, 0))<<16 | uint32(noise(x, y, 1)) }
		return webpFile(webpChunk{"VP8L", webpLossless(w, h, pixel)})
	},
	"WebP lossless, animated": func(w, h int) []byte { // its frame leaves out two rows of the canvas
		pixel := func(x, y int) uint32 { return uint32(noise(x, y, 0))<<16 | uint32(noise(x, y, 1)) }
		still := webpFile(webpChunk{"VP8L", webpLossless(w, h-2, pixel)})
		return webpAnimation(w, h, webpFrame{still, 0, 2, w, h - 2})
	},
}

func heavyJPEG(progressive bool, ids string, sampling []byte, segments ...[]byte) func(width, height int) []byte {
	var planes []jpegPlane
	for i, hv := range sampling {
		planes = append(planes, jpegPlane{id: ids[i], h: hv >> 4, v: hv & 0xf})
	}
	return func(width, height int) []byte {
		return jpegFile{width: width, height: height, components: planes, progressive: progressive,
			segments: segments}.bytes()
	}
}

func heavyPNG(f pngFile) func(width, height int) []byte {
	return func(width, height int) []byte {
		f.width, f.height, f.level = width, height, 1
		return f.bytes()
	}
}

// heavyGIF has one frame that leaves out one row of its screen.
func heavyGIF(width, height int) []byte {
	var file bytes.Buffer
	m := image.NewPaletted(image.Rect(0, 1, width, height), palette.Plan9)
	g := &gif.GIF{Image: []*image.Paletted{m}, Delay: []int{0}, Config: image.Config{Width: width, Height: height}}
	if err := gif.EncodeAll(&file, g); err != nil {
		panic(err)
	}
	return file.Bytes()
}

// noise returns bytes that cannot be compressed (splitmix64).
func noise(x, y, c int) uint16 {
	v := uint64(c<<48|y<<24|x) * 0x9e3779b97f4a7c15
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return uint16(v >> 40)
}

func noise8(x, y, c int) uint16 { return noise(x, y, c) >> 8 }

func stripes(x, y, c int) uint16 { return uint16(y) & 0xff }

// TestPeakHolds measures, from outside, that no process grows by more than Peak says.
func TestPeakHolds(t *testing.T) {
	short.Skip(t, "the measured memory of every kind of photo")
	onlyLinux(t)
	for name, build := range heavyKinds {
		t.Run(name, func(t *testing.T) {
			raw := build(3000, 2400)
			checkPeak(t, raw, growth(t, raw, nil))
		})
	}
	t.Run("WebP lossy with alpha", func(t *testing.T) {
		raw := fixture(t, "flat.webp")
		checkPeak(t, raw, growth(t, raw, nil))
		p, err := sepia.Inspect(bytes.NewReader(raw), 0)
		if err != nil {
			t.Fatal(err)
		}
		raw = webpAnimation(p.Width, p.Height+9, webpFrame{raw, 0, 4, p.Width, p.Height})
		checkPeak(t, raw, growth(t, raw, nil))
	})
	t.Run("WebP of Huffman trees", func(t *testing.T) {
		raw := webpFile(webpChunk{"VP8L", webpTrees(208, 208)})
		var bad *imagery.BadPhoto
		_, err := sepia.Filter{}.Apply(t.Context(), raw)
		if !errors.As(err, &bad) {
			t.Fatalf("got %v, want a bad photo", err)
		}
		checkPeak(t, raw, growth(t, raw, err))
	})
}

// TestPeakOfPlainJPEG: what nearly every photo is takes no more than 1.3 times its decoded planes, turned or not.
func TestPeakOfPlainJPEG(t *testing.T) {
	short.Skip(t, "the measured memory of a photo of a phone")
	onlyLinux(t)
	const width, height = 4000, 3000 // as phones make them
	upright := photoLike(t, width, height)
	for name, raw := range map[string][]byte{"upright": upright, "turned": withSegment(upright, exifSegment(6))} {
		t.Run(name, func(t *testing.T) {
			planes := int64(width * height * 3 / 2)
			grown := growth(t, raw, nil)
			t.Logf("grew by %.2f times the planes", float64(grown)/float64(planes))
			if grown > planes*13/10 {
				t.Errorf("grew by %d bytes, the planes have %d", grown, planes)
			}
		})
	}
}

// onlyLinux: the memory of a process is read from /proc.
func onlyLinux(tb testing.TB) {
	if runtime.GOOS != "linux" {
		skip(tb, "needs Linux: the memory of a process is read from /proc")
	}
}

// skip passes over a test that cannot run here, except where all have to.
func skip(tb testing.TB, why string) {
	tb.Helper()
	if os.Getenv("REQUIRE_ALL") == "1" {
		tb.Fatal(why)
	}
	tb.Skip("SKIPPED, REQUIRE_ALL=1 makes this a failure: ", why)
}

func checkPeak(tb testing.TB, raw []byte, grown int64) {
	tb.Helper()
	p, err := sepia.Inspect(bytes.NewReader(raw), 0)
	if err != nil {
		tb.Fatal(err)
	}
	pixels := float64(p.Width) * float64(p.Height)
	tb.Logf("%d x %d: grew by %d MiB (%.1f bytes a pixel), Peak is %d MiB", p.Width, p.Height, grown>>20,
		float64(grown)/pixels, p.Peak()>>20)
	if grown > p.Peak() {
		tb.Errorf("grew by %d bytes, Peak says %d", grown, p.Peak())
	}
	if p.Peak() > sepia.LargestPeak(sepia.DefaultMaxPixels) {
		tb.Errorf("Peak is %d bytes, above the largest", p.Peak())
	}
}

// BenchmarkLargestPhotos prints what the largest legal photos take: the process at its peak beside its idle size, and
// the time of the whole pipeline.
func BenchmarkLargestPhotos(b *testing.B) {
	onlyLinux(b)
	for name, build := range heavyKinds {
		b.Run(name, func(b *testing.B) {
			raw := build(10000, 5000)
			if len(raw) > sepia.MaxBytes {
				b.Skip("noise of this size is larger than a file may be")
			}
			p, err := sepia.Inspect(bytes.NewReader(raw), 0)
			if err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			var grown int64
			for range b.N {
				grown = max(grown, growth(b, raw, nil))
			}
			b.ReportMetric(float64(grown>>20), "MiB-peak")
			b.ReportMetric(float64(p.Peak()>>20), "MiB-estimate")
		})
	}
}
