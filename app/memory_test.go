package main

import (
	"testing"

	"imagery/app/deploy/settings"
	"imagery/app/imagery"
	"imagery/app/sepia"
)

// TestMemoryPlan: infra checks instances against settings.LargestPeak, for it may not import the filter; so that
// must be what the filter says, rounded up a little.
func TestMemoryPlan(t *testing.T) {
	for _, pixels := range []int64{1_000_000, 20_000_000, settings.DefaultMaxPixels, 100_000_000} {
		need, plan := sepia.LargestPeak(pixels), settings.LargestPeak(pixels)
		if need > plan || plan > need+need/4 {
			t.Errorf("%d pixels: the filter needs up to %d MiB, settings plan %d MiB", pixels, need>>20, plan>>20)
		}
	}
}

// TestLimitsAgree: numbers that packages state for themselves, because they may not import each other.
func TestLimitsAgree(t *testing.T) {
	if sepia.DefaultMaxPixels != settings.DefaultMaxPixels {
		t.Errorf("default pixels: %d and %d", sepia.DefaultMaxPixels, settings.DefaultMaxPixels)
	}
	var _ imagery.Filter = sepia.Filter{}
}
