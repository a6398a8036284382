package pngstream

import "math/bits"

// Bits of the index of a table. Longer codes need a second look-up.
const (
	symbolBits   = 11
	distanceBits = 9
	longestCode  = 15
)

// An entry of a table says what a code stands for. Its lowest byte has the number of bits, with the extra bits of a
// length or distance; the next has the number of bits of the code alone. The upper half has the literal, the base of
// the length or distance, or the offset of a second table, whose index has as many bits as the second byte says.
const (
	isLiteral = 1 << 31
	isSpecial = 1 << 15 // with one of the next two bits, or none of an invalid code
	isEnd     = 1 << 14
	isLink    = 1 << 13
)

// blockCodes has the tables of a compressed block. Each second table has two codes or more.
type blockCodes struct {
	symbols   [1<<symbolBits + 288/2<<(longestCode-symbolBits)]uint32
	distances [1<<distanceBits + 32/2<<(longestCode-distanceBits)]uint32
	isFixed   bool
}

// symbolEntries and distanceEntries have the entries of all symbols and distances, without the bits of codes.
var symbolEntries, distanceEntries = entries()

func entries() (symbols [288]uint32, distances [32]uint32) {
	for i := range 256 {
		symbols[i] = isLiteral | uint32(i)<<16
	}
	symbols[256] = isSpecial | isEnd
	base := uint32(3)
	for i := range 28 {
		extra := uint32(max(0, i/4-1))
		symbols[257+i] = base<<16 | extra
		base += 1 << extra
	}
	symbols[285] = 258 << 16
	symbols[286], symbols[287] = isSpecial, isSpecial
	base = 1
	for i := range 30 {
		extra := uint32(max(0, i/2-1))
		distances[i] = base<<16 | extra
		base += 1 << extra
	}
	distances[30], distances[31] = isSpecial, isSpecial
	return symbols, distances
}

// fixed makes the codes that the format defines.
func (c *blockCodes) fixed() {
	if c.isFixed {
		return
	}
	var lengths [288]byte
	for i := range lengths {
		switch {
		case i < 144, i >= 280:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		default:
			lengths[i] = 7
		}
	}
	build(c.symbols[:], symbolBits, lengths[:], symbolEntries[:])
	var five [32]byte
	for i := range five {
		five[i] = 5
	}
	build(c.distances[:], distanceBits, five[:], distanceEntries[:])
	c.isFixed = true
}

// build makes the table of a Huffman code from the lengths of its codes, and reports whether that is complete. Like
// compress/flate it also accepts a code without symbols, and one of a single bit: what they lack is invalid.
func build(table []uint32, indexBits int, lengths []byte, entries []uint32) bool {
	var count, next [longestCode + 2]int
	longest := 0
	for _, n := range lengths {
		count[n]++
		longest = max(longest, int(n))
	}
	for i := range table[:1<<indexBits] {
		table[i] = isSpecial
	}
	if longest == 0 {
		return true
	}
	count[0] = 0
	code := 0
	for n := 1; n <= longest; n++ {
		code = (code + count[n-1]) << 1
		next[n] = code
	}
	if used := code + count[longest]; used != 1<<longest && (used != 1 || longest != 1) {
		return false
	}
	end := 1 << indexBits // of the tables so far
	for symbol, n := range lengths {
		if n == 0 {
			continue
		}
		reversed := int(bits.Reverse16(uint16(next[n])) >> (16 - n))
		next[n]++
		e := entries[symbol] + uint32(n)<<8&0xf00 + uint32(n)
		if int(n) <= indexBits {
			for i := reversed; i < 1<<indexBits; i += 1 << n {
				table[i] = e
			}
			continue
		}
		link := &table[reversed&(1<<indexBits-1)]
		if *link&isLink == 0 {
			*link = isSpecial | isLink | uint32(end)<<16 | uint32(longest-indexBits)<<8 | uint32(indexBits)
			end += 1 << (longest - indexBits)
		}
		first := int(*link >> 16)
		e -= uint32(indexBits)<<8 + uint32(indexBits)
		for i := reversed >> indexBits; i < 1<<(longest-indexBits); i += 1 << (int(n) - indexBits) {
			table[first+i] = e
		}
	}
	return true
}

// lengthOrder is the order in which a block has the lengths of the codes for lengths.
var lengthOrder = [19]byte{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// lengthEntries has the entries of the codes for lengths.
var lengthEntries = func() (e [19]uint32) {
	for i := range e {
		e[i] = uint32(i) << 16
	}
	return e
}()

// readCodes reads the codes of a block that has its own.
func (f *inflater) readCodes() error {
	if err := f.need(14); err != nil {
		return err
	}
	symbols, distances, n := int(f.take(5))+257, int(f.take(5))+1, int(f.take(4))+4
	if symbols > 286 || distances > 30 {
		return errDeflate
	}
	var order [19]byte
	for _, i := range lengthOrder[:n] {
		if err := f.need(3); err != nil {
			return err
		}
		order[i] = byte(f.take(3))
	}
	table := f.codes.symbols[:1<<7]
	f.codes.isFixed = false
	if !build(table, 7, order[:], lengthEntries[:]) {
		return errDeflate
	}
	var lengths [286 + 30]byte
	if err := f.readLengths(lengths[:symbols+distances], table); err != nil {
		return err
	}
	if !build(f.codes.symbols[:], symbolBits, lengths[:symbols], symbolEntries[:]) ||
		!build(f.codes.distances[:], distanceBits, lengths[symbols:symbols+distances], distanceEntries[:]) {
		return errDeflate
	}
	return nil
}

// readLengths reads the lengths of codes, which are run-length encoded.
func (f *inflater) readLengths(lengths []byte, table []uint32) error {
	for i := 0; i < len(lengths); {
		e, err := f.code(table, 7)
		if err != nil {
			return err
		}
		f.take(uint(e & 63))
		symbol := byte(e >> 16)
		if symbol < 16 {
			lengths[i] = symbol
			i++
			continue
		}
		run := [3]struct{ bits, base uint }{{2, 3}, {3, 3}, {7, 11}}[symbol-16]
		if err := f.need(run.bits); err != nil {
			return err
		}
		n := int(run.base + f.take(run.bits))
		if i+n > len(lengths) || symbol == 16 && i == 0 {
			return errDeflate
		}
		var repeated byte
		if symbol == 16 {
			repeated = lengths[i-1]
		}
		for range n {
			lengths[i] = repeated
			i++
		}
	}
	return nil
}
