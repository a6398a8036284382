package main

import (
	"math"
	"testing"
	"time"

	"imagery/app/deploy/instances"
)

// Worked out by hand: 0.1 s a photo are 27.8 hours of a core for a million.
func TestPerMillion(t *testing.T) {
	const photo = float64(100 * time.Millisecond)
	if n := perCoreHour(photo); n != 36000 {
		t.Errorf("%.0f photos in an hour", n)
	}
	if usd := perMillion(photo, instances.ProdWorker); math.Abs(usd-1e5/3600*0.0363) > 1e-9 {
		t.Errorf("$%.4f on a core of %s", usd, instances.ProdWorker)
	}
}

func TestThousands(t *testing.T) {
	for v, want := range map[float64]string{
		7: "7", 42.4: "42", 999: "999", 1234: "1,230", 59016.4: "59,000", 631578: "632,000", 1234567: "1,230,000",
		100050: "100,000",
	} {
		if got := thousands(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}
