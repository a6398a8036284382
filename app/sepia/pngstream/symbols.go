package pngstream

import "encoding/binary"

// code returns the entry of the next code, and reads as many bytes as that needs with its extra bits. It takes the bits
// of a link, not those of the entry.
func (f *inflater) code(table []uint32, indexBits uint) (uint32, error) {
	e := table[f.bits&(1<<indexBits-1)]
	for e&isLink == 0 && uint(e>>8&15) > f.count || e&isLink != 0 && f.count < indexBits+1 {
		if err := f.need(f.count + 1); err != nil {
			return 0, err
		}
		e = table[f.bits&(1<<indexBits-1)]
	}
	if e&isLink != 0 {
		link := e
		for {
			e = table[uint64(link>>16)+f.bits>>indexBits&(1<<(link>>8&15)-1)]
			if uint(e>>8&15)+indexBits <= f.count {
				break
			}
			if err := f.need(f.count + 1); err != nil {
				return 0, err
			}
		}
		f.take(indexBits)
	}
	if e&(isSpecial|isEnd) == isSpecial {
		return 0, errDeflate
	}
	return e, f.need(uint(e & 63))
}

// symbols decodes a compressed block until it ends or the window is full.
func (f *inflater) symbols() error {
	for f.end < windowLimit {
		if len(f.in)-f.pos >= 2*wordSize {
			if !f.fast() {
				return errDeflate
			}
			if !f.coded {
				return nil
			}
			continue
		}
		e, err := f.code(f.codes.symbols[:], symbolBits)
		if err != nil {
			return err
		}
		switch {
		case e&isLiteral != 0:
			f.take(uint(e & 63))
			f.window[f.end] = byte(e >> 16)
			f.end++
			continue
		case e&isEnd != 0:
			f.take(uint(e & 63))
			f.coded = false
			return nil
		}
		length := f.value(e)
		if e, err = f.code(f.codes.distances[:], distanceBits); err != nil {
			return err
		}
		distance := f.value(e)
		if distance > f.end {
			return errDeflate
		}
		copyMatch(f.window, f.end, distance, length)
		f.end += length
	}
	return nil
}

// value takes the bits of a length or distance and returns it.
func (f *inflater) value(e uint32) int {
	code := uint(e >> 8 & 15)
	return int(e>>16) + int(f.take(uint(e&63))>>code)
}

// copyMatch copies from a distance to the front of end. It writes up to seven bytes too many.
func copyMatch(window []byte, end, distance, length int) {
	from, to := end-distance, end+length
	if distance < wordSize {
		for end < to { // what has been copied doubles the pattern
			end += copy(window[end:to], window[from:end])
		}
		return
	}
	for ; end < to; end, from = end+wordSize, from+wordSize {
		binary.LittleEndian.PutUint64(window[end:], binary.LittleEndian.Uint64(window[from:]))
	}
}

// fast is symbols as long as the input has two words left, so that no byte needs to be waited for. It reports whether
// the data is valid. The state is in local variables, which the compiler keeps in registers.
func (f *inflater) fast() bool {
	in, pos, held, count := f.in, f.pos, f.bits, f.count
	window, end := f.window, f.end
	symbols, distances := &f.codes.symbols, &f.codes.distances
	valid := true
	for pos <= len(in)-2*wordSize && end < windowLimit {
		// Bits above count are those of the next bytes, so that it is harmless to add them twice.
		held |= binary.LittleEndian.Uint64(in[pos:]) << (count & 63)
		pos += int((63 - count) >> 3)
		count |= 56
		e := symbols[held&(1<<symbolBits-1)]
		if e&isLiteral != 0 { // three of at most 11 bits, then any symbol, make 53 bits at most
			held >>= e & 63
			count -= uint(e & 63)
			window[end] = byte(e >> 16)
			end++
			e = symbols[held&(1<<symbolBits-1)]
			if e&isLiteral != 0 {
				held >>= e & 63
				count -= uint(e & 63)
				window[end] = byte(e >> 16)
				end++
				e = symbols[held&(1<<symbolBits-1)]
				if e&isLiteral != 0 {
					held >>= e & 63
					count -= uint(e & 63)
					window[end] = byte(e >> 16)
					end++
					e = symbols[held&(1<<symbolBits-1)]
				}
			}
		}
		if e&isLink != 0 {
			held >>= symbolBits
			count -= symbolBits
			e = symbols[(e>>16 + uint32(held)&(1<<(e>>8&15)-1))]
		}
		code := held
		held >>= e & 63
		count -= uint(e & 63)
		if e&isLiteral != 0 {
			window[end] = byte(e >> 16)
			end++
			continue
		}
		if e&isSpecial != 0 {
			f.coded, valid = false, e&isEnd != 0
			break
		}
		length := int(e>>16) + int(code&(1<<(e&63)-1)>>(e>>8&15))

		held |= binary.LittleEndian.Uint64(in[pos:]) << (count & 63)
		pos += int((63 - count) >> 3)
		count |= 56
		e = distances[held&(1<<distanceBits-1)]
		if e&isLink != 0 {
			held >>= distanceBits
			count -= distanceBits
			e = distances[(e>>16 + uint32(held)&(1<<(e>>8&15)-1))]
		}
		code = held
		held >>= e & 63
		count -= uint(e & 63)
		distance := int(e>>16) + int(code&(1<<(e&63)-1)>>(e>>8&15))
		if e&isSpecial != 0 || distance > end {
			valid = false
			break
		}
		copyMatch(window, end, distance, length)
		end += length
	}
	f.pos, f.bits, f.count, f.end = pos, held, count, end
	return valid
}
