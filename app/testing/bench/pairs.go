package main

import (
	"math"
	"slices"
	"time"
)

// schedule is who runs when, 0 or 1: A B B A A B B A and so on. A machine that grows slower or faster
// meanwhile favours neither, and each run has its partner right beside it.
func schedule(pairs int) []int {
	var order []int
	for i := range pairs {
		order = append(order, i%2, 1-i%2)
	}
	return order
}

// pair is one run of each side, next to each other in time.
type pair struct{ Ours, Other sample }

// interleave runs both sides as scheduled. The first run of each side before this is the caller's warm-up.
func interleave(pairs int, ours, other func() (sample, error)) ([]pair, error) {
	list := make([]pair, pairs)
	for i, who := range schedule(pairs) {
		var err error
		if p := &list[i/2]; who == 0 {
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

// spread is a median with the quartiles around it.
type spread struct{ Low, Mid, High float64 }

func spreadOf(values []float64) spread {
	return spread{quantile(values, 0.25), quantile(values, 0.5), quantile(values, 0.75)}
}

// quantile interpolates between the two nearest values. That of nothing is NaN.
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

// ratio compares the two sides pair by pair: the median of ratios, which one slow moment cannot move.
func ratio(pairs []pair, of func(sample) time.Duration) spread {
	var all []float64
	for _, p := range pairs {
		if of(p.Other) > 0 {
			all = append(all, float64(of(p.Ours))/float64(of(p.Other)))
		}
	}
	return spreadOf(all)
}

// median of one quantity of many samples.
func median(list []pair, of func(pair) float64) float64 {
	var all []float64
	for _, p := range list {
		all = append(all, of(p))
	}
	return quantile(all, 0.5)
}

func elapsed(s sample) time.Duration { return s.Elapsed }
func cpu(s sample) time.Duration     { return s.CPU }
