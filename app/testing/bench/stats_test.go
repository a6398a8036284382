package main

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"
)

// TestInterleaveIsABBA: each side runs first equally often, and the runs of a pair are next to each other.
func TestInterleaveIsABBA(t *testing.T) {
	var log []int
	side := func(number int) func() (sample, error) {
		return func() (sample, error) {
			log = append(log, number)
			return sample{Elapsed: time.Duration(len(log))}, nil
		}
	}
	pairs, err := interleave(4, [2]func() (sample, error){side(0), side(1)})
	if err != nil || !slices.Equal(log, []int{0, 1, 1, 0, 0, 1, 1, 0}) {
		t.Fatalf("ran %v, %v", log, err)
	}
	for i, p := range pairs {
		ours, other := p.Ours.Elapsed, p.Other.Elapsed
		if d := ours - other; d != 1 && d != -1 || min(ours, other) != time.Duration(2*i+1) || log[ours-1] != 0 {
			t.Errorf("pair %d is made of runs %d and %d", i, ours, other)
		}
	}
	broken := errors.New("broken")
	fails := func() (sample, error) { return sample{}, broken }
	if _, err := interleave(2, [2]func() (sample, error){side(0), fails}); !errors.Is(err, broken) {
		t.Errorf("a run that failed: %v", err)
	}
}

func TestRatioIsTheMedianOfRatios(t *testing.T) {
	ms := func(ours, other float64) pair {
		return pair{sample{Elapsed: time.Duration(ours * 1e6)}, sample{Elapsed: time.Duration(other * 1e6)}}
	}
	// The machine becomes ten times slower half-way; the ratio of medians would be 50 / 550 or the like.
	pairs := []pair{ms(50, 100), ms(55, 100), ms(45, 100), ms(500, 1000), ms(9000, 1000)}
	r := ratio(pairs, elapsed)
	if math.Abs(r.Mid-0.5) > 1e-9 || math.Abs(r.Low-0.5) > 1e-9 || math.Abs(r.High-0.55) > 1e-9 {
		t.Errorf("ratio %+v", r)
	}
	if r := ratio(pairs, cpu); !math.IsNaN(r.Mid) {
		t.Errorf("a ratio of nothing is %v", r.Mid)
	}
	for _, c := range []struct {
		values  []float64
		q, want float64
	}{
		{[]float64{3}, 0.5, 3}, {[]float64{4, 1}, 0.5, 2.5}, {[]float64{9, 1, 5}, 0.5, 5},
		{[]float64{4, 3, 2, 1, 0}, 0.25, 1}, {[]float64{1, 2}, 0.99, 1.99}, {[]float64{7, 8}, 1, 8},
	} {
		if got := quantile(c.values, c.q); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("quantile %v of %v is %v, want %v", c.q, c.values, got, c.want)
		}
	}
}

func TestPairsOfARow(t *testing.T) {
	e := pipelinePlan{budget: 10 * time.Second, least: 4, most: 20}
	for one, want := range map[time.Duration]int{
		0: 20, time.Millisecond: 20, time.Second: 10, 1100 * time.Millisecond: 8, time.Minute: 4,
	} {
		if got := e.pairsFor(one); got != want {
			t.Errorf("pairs of %s: %d, want %d", one, got, want)
		}
	}
}
