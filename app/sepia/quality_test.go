package sepia_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"math"
	"runtime"
	"slices"
	"testing"

	"imagery/app/imagery"
	"imagery/app/sepia"
	"imagery/app/sepia/jfif"
	"imagery/app/testing/short"
)

// exactly returns the pixels of a JPEG as the standard decoder sees them, filtered one by one.
func exactly(t testing.TB, raw []byte) *image.RGBA {
	t.Helper()
	m, err := jpeg.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	rgba := image.NewRGBA(m.Bounds())
	draw.Draw(rgba, rgba.Rect, m, image.Point{}, draw.Src)
	sepia.Tone(rgba.Pix)
	return rgba
}

// decibels is the PSNR of a JPEG.
func decibels(t testing.TB, file []byte, want *image.RGBA) float64 {
	t.Helper()
	m, err := jpeg.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	got := image.NewRGBA(m.Bounds())
	draw.Draw(got, got.Rect, m, image.Point{}, draw.Src)
	if got.Rect != want.Rect {
		t.Fatalf("got %v, want %v", got.Rect, want.Rect)
	}
	sum := 0.0
	for i, v := range want.Pix {
		d := float64(v) - float64(got.Pix[i])
		sum += d * d
	}
	return 10 * math.Log10(255*255*float64(len(want.Pix)*3/4)/sum)
}

// TestResultIsAsGoodAsTheStandards compares with a pipeline that filters each pixel and encodes with image/jpeg at the
// same quality and the standard Huffman codes: the file is smaller, its PSNR within 0.1 dB.
func TestResultIsAsGoodAsTheStandards(t *testing.T) {
	for name, raw := range map[string][]byte{
		"detail": photoLike(t, 803, 601), "small": photoLike(t, 80, 60), "progressive": fixture(t, "progressive.jpg"),
	} {
		t.Run(name, func(t *testing.T) {
			want := exactly(t, raw)
			var standard bytes.Buffer
			if err := jpeg.Encode(&standard, want, &jpeg.Options{Quality: 90}); err != nil {
				t.Fatal(err)
			}
			res, err := sepia.Filter{}.Apply(t.Context(), raw)
			if err != nil {
				t.Fatal(err)
			}
			size := float64(res.Body.Size()) / float64(standard.Len())
			is, was := decibels(t, body(t, res), want), decibels(t, standard.Bytes(), want)
			t.Logf("%.3f of the size, %.2f dB instead of %.2f", size, is, was)
			if size > 0.96 || is < was-0.1 {
				t.Errorf("%.3f of the size, %.2f dB instead of %.2f", size, is, was)
			}
		})
	}
}

// TestBytesDoNotDependOnCores: a worker with more of them makes the same file, which its key promises.
func TestBytesDoNotDependOnCores(t *testing.T) {
	progressive := jpegFile{width: 300, height: 200, progressive: true, components: []jpegPlane{
		{1, 2, 2, wave(0)}, {2, 1, 1, wave(1)}, {3, 1, 1, wave(2)}}}.bytes()
	deepPNG := pngFile{width: 900, height: 400, depth: 16, colour: 6, sample: noise, level: 1}.bytes()
	for name, raw := range map[string][]byte{"strips": photoLike(t, 1000, 500), "planes": progressive,
		"turned": withSegment(photoLike(t, 500, 1000), exifSegment(6)), "PNG": deepPNG} {
		t.Run(name, func(t *testing.T) {
			var first []byte
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			for cores := 1; cores <= 6; cores++ {
				runtime.GOMAXPROCS(cores)
				res, err := sepia.Filter{}.Apply(t.Context(), raw)
				if err != nil {
					t.Fatal(err)
				}
				if first == nil {
					first = body(t, res)
				}
				if !bytes.Equal(body(t, res), first) {
					t.Errorf("%d cores make other bytes than one", cores)
				}
			}
		})
	}
}

// TestGoldenFile holds the bytes of results, which decoder and encoder of our own make without the standard library's:
// they are the same on every architecture and with every version of Go.
func TestGoldenFile(t *testing.T) {
	m := image.NewYCbCr(image.Rect(0, 0, 640, 480), image.YCbCrSubsampleRatio420)
	for i := range m.Y {
		m.Y[i] = uint8(i%640/3 + i/640/5 + int(noise8(i%640, i/640, 0)>>3))
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = uint8(i%320/2+i/320/3), uint8(200-i%320/3+int(noise8(i%320, i/320, 1)>>4))
	}
	encoder := jfif.NewEncoder(95)
	var counts jfif.Counts
	drafts := make([][]byte, 30)
	for i := range drafts {
		strip := *m
		strip.Rect.Max.Y = 16
		strip.Y, strip.Cb, strip.Cr = m.Y[16*i*m.YStride:], m.Cb[8*i*m.CStride:], m.Cr[8*i*m.CStride:]
		drafts[i] = encoder.Draft(nil, &strip, &counts)
	}
	var tables jfif.Tables
	tables.Reset(&counts)
	raw := encoder.Header(nil, 640, 480, &tables)
	for i, draft := range drafts {
		raw = tables.Strip(raw, draft, 40, i, i == len(drafts)-1)
	}
	for orientation, want := range map[uint16]string{
		1: "62b749897ac8cb901867d81aba2239af233467cdb085b996c2bc4bcaea6e6b39",
		6: "b25585c1d632345ed680535117ac8dc0c01690f168481db6b5f685c9a56c27ae",
	} {
		res, err := sepia.Filter{}.Apply(t.Context(), withSegment(raw, exifSegment(orientation)))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(body(t, res))
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("orientation %d: %d bytes of hash %s, want %s", orientation, res.Body.Size(), got, want)
		}
	}
}

// TestSteadyStateAllocatesTheResult: one photo after the other, a plain JPEG leaves nothing behind but its result.
func TestSteadyStateAllocatesTheResult(t *testing.T) {
	raw := photoLike(t, 1600, 1200)
	filter := sepia.Filter{}
	var size uint64
	apply := func() {
		res, err := filter.Apply(t.Context(), raw)
		if err != nil {
			t.Fatal(err)
		}
		size = uint64(res.Body.Size())
	}
	for range 3 {
		apply()
	}
	least := uint64(math.MaxUint64) // a collection in between empties the pools
	for range 5 {
		least = min(least, allocates(apply))
	}
	t.Logf("allocates %d bytes for a result of %d", least, size)
	// Drafts take up to a tenth more. The first chunk of the result is new, and no chunk need be full.
	if least > size+size/10+2*sepia.ChunkSize {
		t.Errorf("allocates %d bytes for a result of %d", least, size)
	}
	if n := testing.AllocsPerRun(5, apply); n > 100 {
		t.Errorf("%.0f allocations", n)
	}
}

// plainKinds are JPEGs that the strips read themselves, and their like.
func plainKinds() map[string][]byte {
	all := map[string][]byte{}
	for hv := range map[byte]bool{0x11: true, 0x12: true, 0x21: true, 0x22: true, 0x41: true} {
		f := jpegFile{width: 43, height: 29,
			components: []jpegPlane{{1, hv >> 4, hv & 15, wave(0)}, {2, 1, 1, wave(1)}, {3, 1, 1, wave(2)}}}
		all[fmt.Sprintf("sampling %#x", hv)] = f.bytes()
	}
	all["grey"] = jpegFile{width: 21, height: 13, components: []jpegPlane{{1, 2, 2, wave(0)}}}.bytes()
	return all
}

// sameVerdict fails unless Apply refuses, in words for a person, or mends, what image/jpeg refuses, and only that.
func sameVerdict(t *testing.T, raw []byte) {
	t.Helper()
	filter := sepia.Filter{MaxPixels: fuzzPixels}
	res, err := filter.Apply(t.Context(), raw)
	if _, refusal := filter.Inspect(raw); refusal != nil {
		if err == nil || err.Error() != refusal.Error() {
			t.Fatalf("got %v, Inspect says %v", err, refusal)
		}
		return
	}
	_, standard := jpeg.Decode(bytes.NewReader(raw))
	if bad := err != nil || res.Warning != ""; bad != (standard != nil) {
		t.Fatalf("got %v, image/jpeg says %v", err, standard)
	}
	if err != nil && !slices.Contains([]string{"This JPEG is damaged or cut short.", "This JPEG is cut short: more than " +
		"half of the picture is missing. Please send the whole file."}, refused(t, err, imagery.Unreadable).Reason) {
		t.Fatalf("got %v for damage: %v", err, standard)
	}
}

// TestDamageIsJudgedLikeTheStandard damages plain JPEGs at every byte, and cuts them there.
func TestDamageIsJudgedLikeTheStandard(t *testing.T) {
	short.Skip(t, "plain JPEGs that are damaged at every byte")
	for name, raw := range plainKinds() {
		t.Run(name, func(t *testing.T) {
			for i := 2; i < len(raw); i++ {
				broken := bytes.Clone(raw)
				broken[i] ^= 1 << (i % 8)
				sameVerdict(t, broken)
				sameVerdict(t, raw[:i:i])
			}
		})
	}
}
