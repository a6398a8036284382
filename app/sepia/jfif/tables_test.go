package jfif_test

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"imagery/app/sepia/jfif"
)

// lengths returns the length of each symbol's code in a DHT table, after checking the table.
func lengths(t rapid.TB, table string, limit int) map[byte]int {
	all, space, rest := map[byte]int{}, 0, []byte(table[16:])
	for i, n := range []byte(table[:16]) {
		if n > 0 && i+1 > limit {
			t.Fatalf("%d codes of %d bits, at most %d are allowed", n, i+1, limit)
		}
		for _, symbol := range rest[:n] {
			if all[symbol] != 0 {
				t.Fatalf("symbol %d has two codes", symbol)
			}
			all[symbol] = i + 1
		}
		rest = rest[n:]
		space += int(n) << (16 - i - 1)
	}
	// Codes are given out from zeros up, so that the last one is of ones only if they take all the space.
	if len(rest) > 0 || space >= 1<<16 {
		t.Fatalf("%d symbols are left over, the codes take %d of %d", len(rest), space, 1<<16)
	}
	return all
}

// fewestBits returns the bits of symbols that occur so often, with the best code lengths up to limit. It tries them
// all: best[n] are the fewest bits of the symbols so far, if their codes leave n of 2^limit places.
func fewestBits(counts []uint32, limit int) int {
	const none = 1 << 60
	best := make([]int, 1<<limit)
	for n := range best {
		best[n] = none
	}
	best[1<<limit-1] = 0 // one place is for the code of ones only
	for _, count := range counts {
		if count == 0 {
			continue
		}
		next := make([]int, len(best))
		for n := range next {
			next[n] = none
			for length := 1; length <= limit; length++ {
				if before := n + 1<<(limit-length); before < len(best) {
					next[n] = min(next[n], best[before]+int(count)*length)
				}
			}
		}
		best = next
	}
	fewest := none
	for _, bits := range best {
		fewest = min(fewest, bits)
	}
	return fewest
}

// TestOptimalTables compares with the best of all possible tables.
func TestOptimalTables(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(3, 8).Draw(t, "limit")
		count := rapid.OneOf(rapid.Uint32Range(0, 3), rapid.Uint32Range(0, 1000), rapid.Just(uint32(1<<32-1)))
		counts := rapid.SliceOfN(count, 1, 1<<limit-1).Draw(t, "counts")
		counts[rapid.IntRange(0, len(counts)-1).Draw(t, "at least")]++
		if counts = append(counts, 1); len(counts) > 1<<limit-1 {
			counts = counts[1:]
		}
		bits := 0
		all := lengths(t, jfif.Optimal(counts, limit), limit)
		for symbol, n := range counts {
			if n > 0 != (all[byte(symbol)] > 0) {
				t.Fatalf("symbol %d occurs %d times and has a code of %d bits", symbol, n, all[byte(symbol)])
			}
			bits += int(n) * all[byte(symbol)]
		}
		if want := fewestBits(counts, limit); bits != want {
			t.Errorf("%d bits, possible are %d", bits, want)
		}
	})
}

// TestTablesOfAllSymbols: with all of them, as rare as may be, no code is too long.
func TestTablesOfAllSymbols(t *testing.T) {
	for name, count := range map[string]func(i int) uint32{
		"alike": func(int) uint32 { return 1 }, "steep": func(i int) uint32 { return 1 << (i % 32) },
	} {
		t.Run(name, func(t *testing.T) {
			counts := make([]uint32, 256)
			for i := range counts {
				counts[i] = count(i)
			}
			if n := len(lengths(t, jfif.Optimal(counts, 16), 16)); n != 256 {
				t.Errorf("%d symbols have a code", n)
			}
		})
	}
}

// codesOf returns the symbols of a DHT table by their codes, in zeros and ones.
func codesOf(table string) map[string]int {
	all, code, symbols := map[string]int{}, 0, table[16:]
	for i := range 16 {
		for range table[i] {
			all[fmt.Sprintf("%0*b", i+1, code)] = int(symbols[0])
			symbols = symbols[1:]
			code++
		}
		code <<= 1
	}
	return all
}

// blocks returns the bits of the first n blocks of a draft without what a file does not have: the ends of full blocks.
func blocks(t *testing.T, draft []byte, n int) string {
	in, out := "", ""
	for _, b := range draft {
		in += fmt.Sprintf("%08b", b)
	}
	next := func(codes map[string]int) (symbol int) {
		for length := 1; length <= 16; length++ {
			if symbol, ok := codes[in[:length]]; ok {
				length += symbol & 15
				out, in = out+in[:length], in[length:]
				return symbol
			}
		}
		t.Fatalf("no code begins with %s", in[:16])
		return 0
	}
	for block := range n {
		plane := block % 6 / 4
		next(codesOf(jfif.StandardDC[plane]))
		ac, k := codesOf(jfif.StandardAC[plane]), 0
		for k < 63 {
			symbol := next(ac)
			if symbol == 0 {
				break
			}
			k += symbol>>4 + 1
		}
		if k == 63 {
			in = strings.TrimPrefix(in, strings.Repeat("1", 16))
		}
	}
	return out
}

// withStandardTables returns the file of one draft as it is, without codes made for it.
func withStandardTables(t *testing.T, head []byte, draft []byte, mcus int) []byte {
	start, frame := bytes.Index(head, []byte{0xff, 0xc4}), bytes.Index(head, []byte{0xff, 0xdd})
	out := append(bytes.Clone(head[:start]), 0xff, 0xc4, 1, 0xa2)
	for i := range byte(2) {
		out = append(append(out, i), jfif.StandardDC[i]...)
		out = append(append(out, 0x10|i), jfif.StandardAC[i]...)
	}
	out = append(out, head[frame:]...)
	bits := blocks(t, draft, 6*mcus) + "1111111"
	for ; len(bits) >= 8; bits = bits[8:] {
		v, _ := strconv.ParseUint(bits[:8], 2, 8)
		if out = append(out, byte(v)); v == 0xff {
			out = append(out, 0)
		}
	}
	return append(out, 0xff, 0xd9)
}

// TestTablesChangeNoPixel compares with files of the same drafts that have the standard tables, and the worst ones.
func TestTablesChangeNoPixel(t *testing.T) {
	for name, sample := range samples {
		for _, quality := range []int{1, 50, 90, 100} {
			t.Run(fmt.Sprintf("%s %d", name, quality), func(t *testing.T) {
				e, m := jfif.NewEncoder(quality), picture(16, 128, sample)
				drafts, counts := drafts(e, m)
				var tables jfif.Tables
				tables.Reset(counts)
				own := file(e, m, drafts, &tables)
				tables.Reset(jfif.Inverse(counts))
				worst := file(e, m, drafts, &tables)
				was := withStandardTables(t, own[:bytes.Index(own, []byte{0xff, 0xda})+14], drafts[0], 8)
				if len(drafts) != 1 || len(own) >= len(was) || len(own) > len(worst) {
					t.Errorf("%d bytes, with standard tables %d, with the worst %d", len(own), len(was), len(worst))
				}
				want := decode(t, was)
				for _, own := range [][]byte{own, worst} {
					is := decode(t, own)
					if !slices.Equal(is.Y, want.Y) || !slices.Equal(is.Cb, want.Cb) || !slices.Equal(is.Cr, want.Cr) {
						t.Error("other pixels than with standard tables")
					}
				}
			})
		}
	}
}

// TestRewritingNeedsLittleMemory: the first strips of a file and the drafts that are left take little more than all
// drafts, even if the tables suit those that are left.
func TestRewritingNeedsLittleMemory(t *testing.T) {
	const side = 512
	extreme := func(x, y, plane int) uint8 { return -(hash(x, y, plane) & 1) }
	for name, sample := range map[string]func(x, y, plane int) uint8{
		"noise": hash, "extreme": extreme, "edges": samples["edges"],
		"noise above edges": func(x, y, plane int) uint8 {
			if y < side/4 {
				return extreme(x, y, plane)
			}
			return samples["edges"](x, y, plane)
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, m := jfif.NewEncoder(90), picture(side, side, sample)
			drafts, counts := drafts(e, m)
			var tables jfif.Tables
			tables.Reset(counts)
			own := file(e, m, nil, &tables)
			all := len(bytes.Join(drafts, nil))
			rest, largest := all, all
			for i, draft := range drafts {
				own = tables.Strip(own, draft, side/16, i, i == len(drafts)-1)
				rest -= len(draft)
				largest = max(largest, len(own)+rest)
			}
			t.Logf("%d bytes, the drafts take %d", largest, all)
			if largest > all+all/20 || len(own) > all {
				t.Errorf("%d bytes for drafts of %d and a file of %d", largest, all, len(own))
			}
		})
	}
}
