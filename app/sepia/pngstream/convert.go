package pngstream

import "encoding/binary"

// converter returns a function that turns an unfiltered row into 8-bit samples of the layout, or nil if the row has
// them. Of samples of 16 bits it gets the high bytes, unless h has a transparent colour or deep
// colours.
func converter(h *header) func(dst, src []byte) {
	switch {
	case h.deep != nil:
		return deepConverter(h)
	case h.transparent != nil:
		return transparency(h)
	case h.Depth < 8:
		return func(dst, src []byte) { unpack(dst, src, h.Depth) }
	case h.Colour == ColourGreyAlpha:
		return spreadGrey
	}
	return nil
}

// highBytes moves the high bytes of 16-bit samples to the front of b, and returns that part.
func highBytes(b []byte) []byte {
	n, i := len(b)/2, 0
	for ; i+4 <= n; i += 4 {
		x := binary.LittleEndian.Uint64(b[2*i:]) & 0x00ff00ff00ff00ff
		x = (x | x>>8) & 0x0000ffff0000ffff
		binary.LittleEndian.PutUint32(b[i:], uint32(x|x>>16))
	}
	for ; i < n; i++ {
		b[i] = b[2*i]
	}
	return b[:n]
}

// unpack writes samples of fewer than 8 bits one per byte.
func unpack(dst, src []byte, depth byte) {
	mask := byte(1<<depth - 1)
	for i, shift := 0, 8-depth; i < len(dst); i++ {
		dst[i] = src[0] >> (shift & 7) & mask
		if shift == 0 {
			src, shift = src[1:], 8
		}
		shift -= depth
	}
}

// spreadGrey converts pixels of grey and alpha to RGBA.
func spreadGrey(dst, src []byte) {
	for len(dst) >= 4 && len(src) >= 2 {
		v := src[0]
		dst[0], dst[1], dst[2], dst[3] = v, v, v, src[1]
		dst, src = dst[4:], src[2:]
	}
}

// transparency returns the converter of grey or RGB pixels to RGBA. Those of the transparent colour have alpha 0, and
// keep their colour. 16-bit samples are compared whole; of the transparent colour, image/png ignores the high byte
// if the picture has fewer bits.
func transparency(h *header) func(dst, src []byte) {
	key, size := h.transparent, 2
	if h.Depth < 16 {
		key, size = nil, 1
		for i := 1; i < len(h.transparent); i += 2 {
			key = append(key, h.transparent[i])
		}
	}
	if h.Depth >= 8 {
		return func(dst, src []byte) { compareColour(dst, src, key, size, 1) }
	}
	scale := byte(255 / (1<<h.Depth - 1))
	return func(dst, src []byte) {
		samples := dst[len(dst)/4*3:] // compareColour never overtakes it
		unpack(samples, src, h.Depth)
		compareColour(dst, samples, key, size, scale)
	}
}

// compareColour converts pixels of 1 or 3 samples, which have size bytes each and are multiplied by scale.
func compareColour(dst, src, key []byte, size int, scale byte) {
	green, blue := 0, 0
	if len(key) > size {
		green, blue = size, 2*size
	}
	for len(dst) >= 4 {
		alpha := byte(255)
		if string(src[:len(key)]) == string(key) {
			alpha = 0
		}
		r, g, b := src[0]*scale, src[green]*scale, src[blue]*scale
		dst[0], dst[1], dst[2], dst[3] = r, g, b, alpha
		dst, src = dst[4:], src[len(key):]
	}
}
