package jfif

import (
	"bytes"
	"encoding/binary"
)

// Tables are Huffman tables made for one photo. They turn its drafts into the strips of a file.
type Tables struct {
	dc, ac [2]rewriteTable // luma and chroma
}

// The bits that a rewriteTable looks at. 11 are enough for two of the usual AC symbols.
const (
	rewriteDC = 8
	rewriteAC = 11
)

// rewriteTable translates the next bits of a draft.
type rewriteTable struct {
	segment string         // in the format of a DHT segment
	look    []rewritten    // by the next bits; not used if the first eight are ones
	shift   int            // 64 less the number of these bits
	long    [256]rewritten // by the eight bits behind eight ones, with which all longer codes begin
}

// rewritten says what replaces the next bits of a draft: value, with the last of the replaced bits added.
type rewritten struct {
	value  uint32
	length uint8 // of value, in bits
	used   uint8 // bits of the draft
	copied uint8 // of these, the last ones that are added
	end    bool  // of the block
}

// Reset makes t the tables with which the drafts of these counts take the fewest bytes.
func (t *Tables) Reset(counts *Counts) {
	for i, standard := range standardCodes() {
		t.dc[i].reset(optimal(counts[i].dc[:], maxCodeLength), standard.dc[:], rewriteDC)
		t.ac[i].reset(optimal(counts[i].ac[:], maxCodeLength), standard.ac[:], rewriteAC)
	}
}

// reset fills t for drafts with these codes.
func (t *rewriteTable) reset(segment string, codes []uint32, bits int) {
	t.segment, t.shift = segment, 64-bits
	if t.look == nil {
		t.look = make([]rewritten, 1<<bits)
	}
	var single [1 << rewriteAC]rewritten
	var own [256]uint32
	assign(segment, own[:])
	for symbol, code := range codes {
		to := own[symbol]
		size := uint8(symbol & 15)
		e := rewritten{to >> 5 << size, uint8(to&31) + size, uint8(code&31) + size, size, bits == rewriteAC && symbol == 0}
		t.fill(single[:1<<bits], e, code, bits)
	}
	if bits == rewriteDC {
		copy(t.look, single[:])
		return
	}
	t.long[255] = rewritten{used: endOfFullBlockBits, end: true}
	for i := range t.look {
		t.look[i] = followed(&single, i)
	}
}

// fill enters what replaces a code wherever that stands in front.
func (t *rewriteTable) fill(look []rewritten, e rewritten, code uint32, bits int) {
	code, length := code>>5, int(code&31)
	rest := bits - length
	switch {
	case length == 0: // there is no such symbol
	case code<<16>>length >= 0xff00:
		for i := range 1 << (16 - length) {
			t.long[(int(code)<<(16-length)|i)&0xff] = e
		}
	default:
		for i := range 1 << rest {
			at, e := int(code)<<rest|i, e
			if int(e.used) <= bits { // all bits that are copied can be seen, too
				e.value |= uint32(at>>(bits-int(e.used))) & (1<<e.copied - 1)
				e.copied = 0
			}
			look[at] = e
		}
	}
}

// followed returns the entry of look together with those of the bits behind it that are complete.
func followed(look *[1 << rewriteAC]rewritten, i int) rewritten {
	e := look[i]
	for !e.end && e.copied == 0 && e.used != 0 {
		next := look[i<<e.used&(1<<rewriteAC-1)]
		if next.used == 0 || e.used+next.used > rewriteAC || e.length+next.length > 32 {
			break
		}
		e.value, e.length = e.value<<next.length|next.value, e.length+next.length
		e.used, e.end = e.used+next.used, next.end
	}
	return e
}

// draftReader reads a draft.
type draftReader struct {
	draft []byte
	pos   int
	acc   uint64 // the next n bits
	n     uint
}

// Strip appends strip i of the file, counted from 0, and the marker behind it. draft is of that strip, which has that
// many units of 16x16 pixels.
func (t *Tables) Strip(dst, draft []byte, mcus, i int, last bool) []byte {
	w, r := bitWriter{out: dst}, draftReader{draft, 7, binary.BigEndian.Uint64(draft), 56}
	for range mcus {
		w.reserve(maxMCU)
		t.mcu(&w, &r)
	}
	if w.n > 0 { // fill the last byte up with ones
		w.out = append(w.out, byte(w.acc>>56)|0xff>>w.n)
	}
	marker := byte(markerEOI)
	if !last {
		marker = markerRST0 + byte(i&7)
	}
	return append(stuff(w.out, len(dst)), 0xff, marker)
}

// mcu rewrites one MCU.
func (t *Tables) mcu(w *bitWriter, r *draftReader) {
	out, at, acc, n := w.out[:cap(w.out)], len(w.out), w.acc, w.n
	draft, pos, in, have := r.draft, r.pos, r.acc, r.n
	for block := range 6 {
		ac := &t.ac[block/4]
		for e := t.dc[block/4].next(in); ; e = ac.next(in) {
			value := uint64(e.value) | in>>((64-e.used)&63)&(1<<(e.copied&63)-1)
			at, acc, n = put(out, at, acc, n, value, uint(e.length))
			// Fill up with whole bytes, to at least 56 bits.
			in, have = in<<(e.used&63), have-uint(e.used)
			in |= binary.BigEndian.Uint64(draft[pos:]) >> (have & 63)
			pos, have = pos+int(63-have)>>3, have|56
			if e.end {
				break
			}
		}
	}
	w.out, w.acc, w.n = out[:at], acc, n
	r.pos, r.acc, r.n = pos, in, have
}

// next returns the entry for bits that begin like this.
func (t *rewriteTable) next(in uint64) *rewritten {
	if in >= eightOnes {
		return &t.long[in>>48&0xff]
	}
	return &t.look[in>>(t.shift&63)]
}

// eightOnes is the least word that begins with eight ones.
const eightOnes = 0xff << 56

// stuff puts a zero behind each 0xff from position start on.
func stuff(b []byte, start int) []byte {
	n := bytes.Count(b[start:], ff)
	if n == 0 {
		return b
	}
	end := len(b)
	b = append(b, make([]byte, n)...)
	read, write := start+n, start
	copy(b[read:], b[start:end])
	for ; write < read; n-- {
		next := read + bytes.IndexByte(b[read:], 0xff) + 1
		write += copy(b[write:], b[read:next])
		b[write] = 0
		write, read = write+1, next
	}
	return b
}

var ff = []byte{0xff}
