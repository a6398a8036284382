package main

import (
	"math"
	"slices"
	"time"
)

// schedule returns the order of the two sides, 0 and 1: 0 1 1 0 0 1 1 0 and so on. A machine that becomes slower or
// faster meanwhile changes both alike, and the two runs of a pair are next to each other.
func schedule(pairs int) []int {
	var order []int
	for i := range pairs {
		order = append(order, i%2, 1-i%2)
	}
	return order
}

// pair has one run of each side, next to each other in time.
type pair struct{ Ours, Other sample }

// interleave runs both sides in the order of schedule. The caller has warmed up both.
func interleave(pairs int, ours, other func() (sample, error)) ([]pair, error) {
	list := make([]pair, pairs)
	for i, side := range schedule(pairs) {
		var err error
		if p := &list[i/2]; side == 0 {
			p.Ours, err = ours()
		} else {
			p.Other, err = other()
		}
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// spread is a median with the two quartiles.
type spread struct{ Low, Mid, High float64 }

func spreadOf(values []float64) spread {
	return spread{quantile(values, 0.25), quantile(values, 0.5), quantile(values, 0.75)}
}

// quantile interpolates between the two nearest values. Without values it returns NaN.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	below := int(at)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (sorted[above]-sorted[below])*(at-float64(below))
}

// ratio returns the spread of the ratios of all pairs; a median does not change with a few slow runs.
func ratio(pairs []pair, of func(sample) time.Duration) spread {
	var all []float64
	for _, p := range pairs {
		if of(p.Other) > 0 {
			all = append(all, float64(of(p.Ours))/float64(of(p.Other)))
		}
	}
	return spreadOf(all)
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
