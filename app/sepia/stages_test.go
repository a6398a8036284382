package sepia

import (
	"bytes"
	"image"
	"image/jpeg"
	"os"
	"slices"
	"syscall"
	"testing"
)

// BenchmarkStages shows where the time of a JPEG goes: nanoseconds of CPU time per pixel for each stage, the clock of
// the processor while it measured, in GHz, and what the memory would allow: nanoseconds to copy the planes of a pixel,
// 1.5 bytes, from memory to memory. Package jfif has BenchmarkTransforms; the rest of decode and encode is entropy
// coding, and a copy of the strip in encode and tone.
//
//	IMAGERY_PHOTO=photo.jpg go test -run '^$' -bench Stages -benchtime 20x -cpu 1 ./app/sepia
func BenchmarkStages(b *testing.B) {
	path := os.Getenv("IMAGERY_PHOTO")
	if path == "" {
		b.Skip("IMAGERY_PHOTO names no JPEG")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	m, err := jpeg.Decode(bytes.NewReader(raw))
	if err != nil {
		b.Fatal(err)
	}
	planes, ok := m.(*image.YCbCr)
	if !ok {
		b.Fatalf("%T has no planes", m)
	}
	pixels := float64(m.Bounds().Dx() * m.Bounds().Dy())
	from, to := make([]byte, 256<<20), make([]byte, 256<<20)
	copy(to, from)
	times := map[string][]float64{}
	measure := func(name string, f func(), n float64) {
		var before, after syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &before)
		f()
		syscall.Getrusage(syscall.RUSAGE_SELF, &after)
		ns := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
		times[name] = append(times[name], float64(ns)/n)
	}
	for range b.N {
		measure("decode-ns/px", func() { DecodeStrips(raw) }, pixels)
		measure("tone-ns/px", func() { toneStrips(planes) }, pixels)
		measure("encode-ns/px", func() { EncodeStrips(planes) }, pixels)
		measure("whole-ns/px", func() {
			if _, err := (Filter{}).Apply(b.Context(), raw); err != nil {
				b.Fatal(err)
			}
		}, pixels)
		measure("copy-ns/px", func() { copy(to, from) }, float64(len(from))/1.5)
		measure("cycle-ns", func() { dependent = multiplyChain(dependent, 20_000_000) }, 3*20_000_000)
	}
	for name, t := range times {
		slices.Sort(t)
		b.ReportMetric(t[b.N/2], name)
	}
	b.ReportMetric(0, "ns/op")
}

// toneStrips filters copies of the strips of m.
func toneStrips(m *image.YCbCr) {
	var s strip
	source := upright(m, m.Rect.Size(), 1)
	for y := 0; y+16 <= source.height; y += 16 {
		s.prepare(source.width, 16, source.ratio)
		source.read(&s.YCbCr, y)
		toneCache.tonePlanes(&s.YCbCr)
	}
}

var dependent uint64 = 1

// multiplyChain multiplies n times. Each product needs the one before, and takes three cycles on processors of today.
func multiplyChain(v uint64, n int) uint64 {
	for range n {
		v *= 0x9e3779b97f4a7c15
	}
	return v
}
