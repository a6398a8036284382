package main

import (
	"math"
	"slices"
	"time"
)

// pair has one run of each side, next to each other in time.
type pair struct{ Ours, Other sample }

// interleave runs both sides in the order 0 1 1 0 0 1 1 0 and so on. A machine that becomes slower or faster meanwhile
// changes both alike. The caller has warmed up both.
func interleave(pairs int, sides [2]func() (sample, error)) ([]pair, error) {
	list := make([]pair, pairs)
	for i := range list {
		var samples [2]sample
		for _, side := range []int{i % 2, 1 - i%2} {
			var err error
			if samples[side], err = sides[side](); err != nil {
				return nil, err
			}
		}
		list[i] = pair{samples[0], samples[1]}
	}
	return list, nil
}

// spread is a median with the two quartiles.
type spread struct{ Low, Mid, High float64 }

// quantile interpolates between the two nearest values. Without values it returns NaN.
func quantile[T time.Duration | float64](values []T, q float64) T {
	if len(values) == 0 {
		return T(math.NaN())
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	below := int(at)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + T(float64(sorted[above]-sorted[below])*(at-float64(below)))
}

// ratio returns the spread of the ratios of all pairs; a median does not change with a few slow runs.
func ratio(pairs []pair, of func(sample) time.Duration) spread {
	var all []float64
	for _, p := range pairs {
		if of(p.Other) > 0 {
			all = append(all, float64(of(p.Ours))/float64(of(p.Other)))
		}
	}
	return spread{quantile(all, 0.25), quantile(all, 0.5), quantile(all, 0.75)}
}

// median returns the median of one quantity of all pairs.
func median(list []pair, of func(pair) float64) float64 {
	var all []float64
	for _, p := range list {
		all = append(all, of(p))
	}
	return quantile(all, 0.5)
}

func elapsed(s sample) time.Duration { return s.Elapsed }
func cpu(s sample) time.Duration     { return s.CPU }
