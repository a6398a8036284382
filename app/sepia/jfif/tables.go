package jfif

import (
	"cmp"
	"slices"
)

// symbolCounts says how often each symbol occurs. 32 bits are enough for the symbols of 2.8 gigapixels.
type symbolCounts struct {
	dc [12]uint32
	ac [256]uint32
}

// Counts says how often each symbol occurs in drafts, luma and chroma.
type Counts [2]symbolCounts

// Add adds the counts of other drafts.
func (c *Counts) Add(other *Counts) {
	for t := range c {
		for i, n := range other[t].dc {
			c[t].dc[i] += n
		}
		for i, n := range other[t].ac {
			c[t].ac[i] += n
		}
	}
}

// maxCodeLength is the maximum length of a Huffman code in a file.
const maxCodeLength = 16

// optimal returns the Huffman table with which symbols that occur so often take the fewest bits, in the format of a DHT
// segment. No code is longer than limit bits, and none consists of ones only, as T.81 demands. At least one symbol must
// occur, and at most 2^limit-1 different ones.
//
// The package-merge algorithm of Larmore and Hirschberg finds the lengths. The procedure of T.81 K.2, which libjpeg
// uses, shortens the codes of a Huffman tree that are too long, which is not always optimal, and takes no less code.
func optimal(counts []uint32, limit int) string {
	// The rarest leaf is no symbol: it takes the code of ones only.
	type leaf struct {
		symbol byte
		count  uint64
	}
	var space [257]leaf
	leaves := space[:1]
	for symbol, n := range counts {
		if n > 0 {
			leaves = append(leaves, leaf{byte(symbol), uint64(n)})
		}
	}
	slices.SortStableFunc(leaves, func(a, b leaf) int { return cmp.Compare(a.count, b.count) })

	// Each list has all leaves, and the pairs of neighbours of the list before, in the order of their counts.
	var lists [2][2 * len(space)]uint64
	var pairs [maxCodeLength][2 * len(space)]bool // which items of each list are pairs
	list := lists[0][:0]
	for level := range limit {
		before := list
		list = lists[(level+1)%2][:0]
		for l, p := 0, 0; l < len(leaves) || p+1 < len(before); {
			if p+1 < len(before) && (l == len(leaves) || before[p]+before[p+1] < leaves[l].count) {
				pairs[level][len(list)] = true
				list = append(list, before[p]+before[p+1])
				p += 2
			} else {
				list = append(list, leaves[l].count)
				l++
			}
		}
	}
	// The first items of the last list, and what they consist of, are the optimum: the length of a code is the number of
	// lists from which its leaf is taken, and in each list these are the first leaves.
	var lengths [len(space)]int
	taken := 2*len(leaves) - 2
	for level := limit - 1; level >= 0; level-- {
		n := 0
		for _, pair := range pairs[level][:taken] {
			if !pair {
				lengths[n]++
				n++
			}
		}
		taken = 2 * (taken - n)
	}
	table := make([]byte, maxCodeLength, maxCodeLength+len(leaves))
	for i := len(leaves) - 1; i > 0; i-- { // the shortest first
		table[lengths[i]-1]++
		table = append(table, leaves[i].symbol)
	}
	return string(table)
}
