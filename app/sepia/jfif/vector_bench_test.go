package jfif

import (
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
)

// BenchmarkTransforms compares the vector instructions with Go, in CPU time: nanoseconds for a block, and the share of
// the time of Go.
//
//	go test -run '^$' -bench Transforms -benchtime 50x ./app/sepia/jfif
func BenchmarkTransforms(b *testing.B) {
	const blocks = 2000
	r := rand.New(rand.NewPCG(7, 8))
	plane := make([]uint8, 64*8+64)
	for i := range plane {
		plane[i] = uint8(i%64 + i/64*7 + r.IntN(16))
	}
	e := NewEncoder(90)
	var p pair
	var q dequantizer
	for z := range uint8(64) {
		q.set(z, 1+int(z)/8+int(z)%8)
	}
	var coefficients block
	for z := range coefficients {
		coefficients[z] = int16(200 / (1 + z/8*z%8 + z/8 + z%8) * (1 - z%3))
	}
	for _, part := range []struct {
		name string
		do   func()
	}{
		{"forward", func() {
			for i := range blocks / 2 {
				p.transform(plane[i%40:], plane[i%40+8:], 64, &e.steps[0])
			}
		}},
		{"inverse", func() {
			for i := range blocks {
				coefficients.idct(&q, 20, plane[i%40:], 64)
			}
		}},
	} {
		b.Run(part.name, func(b *testing.B) {
			var ratios, times []float64
			for range b.N {
				var t [2]float64
				withVector(b, func(vectors bool) { t[map[bool]int{false: 1}[vectors]] = cpuTime(part.do) / blocks })
				ratios, times = append(ratios, t[0]/t[1]), append(times, t[0])
			}
			slices.Sort(ratios)
			slices.Sort(times)
			b.ReportMetric(ratios[b.N/2], "of-Go")
			b.ReportMetric(times[b.N/2], "ns/block")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// cpuTime returns the CPU time of f in nanoseconds.
func cpuTime(f func()) float64 {
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	f()
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	return float64(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
}
