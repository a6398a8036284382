package pngstream

import "encoding/binary"

// The filters of a row.
const (
	filterNone = iota
	filterSub
	filterUp
	filterAverage
	filterPaeth
)

// unfilter reverses a filter in place, given the row above, and reports whether the filter is valid. Distance is the
// number of bytes from a pixel to the next.
func unfilter(filter byte, row, above []byte, distance int) bool {
	above = above[:len(row)]
	switch filter {
	case filterNone:
	case filterSub:
		switch distance {
		case 3:
			sub3(row)
		case 4:
			sub4(row)
		default:
			subN(row, distance)
		}
	case filterUp:
		up(row, above)
	case filterAverage:
		switch distance {
		case 3:
			average3(row, above)
		case 4:
			average4(row, above)
		default:
			averageN(row, above, distance)
		}
	case filterPaeth:
		switch {
		case vector && (distance == 3 || distance == 4) && len(row) >= 4*distance:
			paethVector(row, above, distance)
		case distance == 3:
			paeth3(row, above)
		case distance == 4:
			paeth4(row, above)
		default:
			paethN(row, above, distance)
		}
	default:
		return false
	}
	return true
}

// add8 adds the bytes of two words. The highest bits are added apart, so that no carry leaves a byte.
func add8(a, b uint64) uint64 {
	const low = 0x7f7f7f7f7f7f7f7f
	return (a&low + b&low) ^ (a^b)&^low
}

// add4 is add8 for four bytes.
func add4(a, b uint32) uint32 {
	const low = 0x7f7f7f7f
	return (a&low + b&low) ^ (a^b)&^low
}

func up(row, above []byte) {
	i := 0
	for ; i+8 <= len(row); i += 8 {
		p := row[i : i+8]
		binary.LittleEndian.PutUint64(p, add8(binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(above[i:i+8])))
	}
	for ; i < len(row); i++ {
		row[i] += above[i]
	}
}

func sub3(row []byte) {
	var r, g, b byte
	for i := 0; i+3 <= len(row); i += 3 {
		p := row[i : i+3]
		r, g, b = r+p[0], g+p[1], b+p[2]
		p[0], p[1], p[2] = r, g, b
	}
}

func sub4(row []byte) {
	var left uint32
	for i := 0; i+4 <= len(row); i += 4 {
		p := row[i : i+4]
		left = add4(left, binary.LittleEndian.Uint32(p))
		binary.LittleEndian.PutUint32(p, left)
	}
}

func subN(row []byte, distance int) {
	for c := range distance {
		var left byte
		for i := c; i < len(row); i += distance {
			left += row[i]
			row[i] = left
		}
	}
}

func average3(row, above []byte) {
	var r, g, b uint
	for i := 0; i+3 <= len(row); i += 3 {
		p, q := row[i:i+3], above[i:i+3]
		r = (uint(p[0]) + (r+uint(q[0]))>>1) & 255
		g = (uint(p[1]) + (g+uint(q[1]))>>1) & 255
		b = (uint(p[2]) + (b+uint(q[2]))>>1) & 255
		p[0], p[1], p[2] = byte(r), byte(g), byte(b)
	}
}

func average4(row, above []byte) {
	var left uint32
	for i := 0; i+4 <= len(row); i += 4 {
		p := row[i : i+4]
		q := binary.LittleEndian.Uint32(above[i : i+4])
		mean := left&q + (left^q)>>1&0x7f7f7f7f // of each byte, rounded down
		left = add4(mean, binary.LittleEndian.Uint32(p))
		binary.LittleEndian.PutUint32(p, left)
	}
}

func averageN(row, above []byte, distance int) {
	for c := range distance {
		var left uint
		for i := c; i < len(row); i += distance {
			left = (uint(row[i]) + (left+uint(above[i]))>>1) & 255
			row[i] = byte(left)
		}
	}
}

// paethVector uses instructions for pixels of 3 or 4 bytes, which take as long for all bytes of a pixel as for one.
func paethVector(row, above []byte, distance int) {
	end := len(row) - 2*distance // which leaves four bytes to read
	next := row[end]
	paethAVX2(&row[0], &above[0], end/distance, distance)
	row[end] = next
	for i := end; i < len(row); i++ {
		left, up, corner := row[i-distance], above[i], above[i-distance]
		row[i] += byte(paeth(int(left), int(up), int(corner)))
	}
}

func paeth3(row, above []byte) {
	var r, g, b, cornerR, cornerG, cornerB int
	for i := 0; i+3 <= len(row); i += 3 {
		p, q := row[i:i+3], above[i:i+3]
		upR, upG, upB := int(q[0]), int(q[1]), int(q[2])
		r = (paeth(r, upR, cornerR) + int(p[0])) & 255
		g = (paeth(g, upG, cornerG) + int(p[1])) & 255
		b = (paeth(b, upB, cornerB) + int(p[2])) & 255
		p[0], p[1], p[2] = byte(r), byte(g), byte(b)
		cornerR, cornerG, cornerB = upR, upG, upB
	}
}

func paeth4(row, above []byte) {
	var r, g, b, a, cornerR, cornerG, cornerB, cornerA int
	for i := 0; i+4 <= len(row); i += 4 {
		p, q := row[i:i+4], above[i:i+4]
		upR, upG, upB, upA := int(q[0]), int(q[1]), int(q[2]), int(q[3])
		r = (paeth(r, upR, cornerR) + int(p[0])) & 255
		g = (paeth(g, upG, cornerG) + int(p[1])) & 255
		b = (paeth(b, upB, cornerB) + int(p[2])) & 255
		a = (paeth(a, upA, cornerA) + int(p[3])) & 255
		p[0], p[1], p[2], p[3] = byte(r), byte(g), byte(b), byte(a)
		cornerR, cornerG, cornerB, cornerA = upR, upG, upB, upA
	}
}

func paethN(row, above []byte, distance int) {
	for c := range distance {
		var left, corner int
		for i := c; i < len(row); i += distance {
			up := int(above[i])
			left = (paeth(left, up, corner) + int(row[i])) & 255
			row[i], corner = byte(left), up
		}
	}
}

// paeth returns which of the three neighbours is nearest to left + up - corner; of equally near ones the first. This
// form, which stb_image also uses, compiles to conditional moves: a branch would often be mispredicted.
func paeth(left, up, corner int) int {
	threshold := 3*corner - up - left
	low, high := min(left, up), max(left, up)
	nearest := corner
	if high <= threshold {
		nearest = low
	}
	if threshold <= low {
		nearest = high
	}
	return nearest
}
