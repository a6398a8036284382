package sepia

import "encoding/binary"

// readGIF reads the size of the logical screen. The decoder rejects larger frames before it allocates memory for them.
func readGIF(s *source, maxPixels int64) (Photo, error) {
	b, err := s.next(13)
	if err != nil {
		return Photo{}, err
	}
	width, height := binary.LittleEndian.Uint16(b[6:]), binary.LittleEndian.Uint16(b[8:])
	if err := checkSize(uint32(width), uint32(height), maxPixels); err != nil {
		return Photo{}, err
	}
	// One byte per pixel, and a copy if the frame is interlaced.
	at := func(width, height int) cost {
		pixels := int64(width) * int64(height)
		return cost{decode: 2 * pixels, image: pixels + bands(int64(width), pixels), result: pngResult}
	}
	p := Photo{Width: int(width), Height: int(height), at: at}
	p.cost = at(p.Width, p.Height)
	return p, nil
}
