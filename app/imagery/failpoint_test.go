package imagery_test

import (
	"testing"
	"time"

	"imagery/app/imagery"
)

// BenchmarkHit compares, in one run, a failpoint without a hook, one with a hook that is armed elsewhere, and an empty
// loop.
func BenchmarkHit(b *testing.B) {
	off := &imagery.Service{}
	armed := &imagery.Service{Hook: func(p imagery.Failpoint, id string) {
		if p == imagery.BeforeAck && id == "0" {
			panic("the armed point")
		}
	}}
	const id = "6a0e2a4e-5b3c-4b9a-8a77-0f6d3c1b2a90"
	const passes = 1000
	var empty, without, with time.Duration
	measure := func(sum *time.Duration, pass func()) {
		began := time.Now()
		for range passes {
			pass()
		}
		*sum += time.Since(began)
	}
	for b.Loop() {
		measure(&empty, func() {})
		measure(&without, func() { off.Hit(imagery.AfterMove, id) })
		measure(&with, func() { armed.Hit(imagery.AfterMove, id) })
	}
	per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(b.N) / passes }
	b.ReportMetric(0, "ns/op") // the sum of three loops is meaningless
	b.ReportMetric(per(empty), "empty-ns")
	b.ReportMetric(per(without), "off-ns")
	b.ReportMetric(per(with), "on-ns")
	b.ReportMetric(per(with)/per(without), "on/off")
}
