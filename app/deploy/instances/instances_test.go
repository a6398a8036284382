package instances

import (
	"math"
	"slices"
	"testing"
)

// Worked out by hand: two cores of t4g.small, of which AWS bills 80 % as surplus credits; one core of c7g.medium.
func TestCoreHour(t *testing.T) {
	for name, want := range map[string]float64{
		DevWorker: (0.0168 + 2*0.8*0.04) / 2, ProdWorker: 0.0363, "t3.micro": 0.0502,
	} {
		if got := Types[name].CoreHour(); math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: $%.4f, want $%.4f", name, got, want)
		}
	}
}

func TestEveryPriceIsKnown(t *testing.T) {
	for name, kind := range Types {
		if kind.Hourly <= 0 || kind.Burstable && (baselines[kind.MemoryMiB] == 0 || surplusVCPUHour[kind.Arch] == 0) {
			t.Errorf("%s: its price or that of its credits is not known", name)
		}
		if !slices.Contains(Names(kind.Arch), name) {
			t.Errorf("%s is not listed for %s", name, kind.Arch)
		}
	}
}
