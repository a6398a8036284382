package sepia

import "encoding/binary"

// exifLimit bounds how much of an EXIF block is looked at. The orientation stands in its first directory, before
// the thumbnail; a JPEG segment holds no more than this.
const exifLimit = 64 << 10

// exifOrientation returns the orientation tag, 1 to 8, of a TIFF structure as EXIF blocks hold it; 0 if it has
// none that makes sense. Bad EXIF is no reason to refuse a photo.
func exifOrientation(tiff []byte) int {
	const (
		tagOrientation = 0x0112
		typeShort      = 3
		entrySize      = 12
	)
	if len(tiff) < 8 {
		return 0
	}
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 0
	}
	// Offsets are bounded by the data; the count may lie, the loop ends where the data does.
	start := int64(order.Uint32(tiff[4:]))
	if start+2 > int64(len(tiff)) {
		return 0
	}
	count := int(order.Uint16(tiff[start:]))
	for dir := tiff[start+2:]; count > 0 && len(dir) >= entrySize; count, dir = count-1, dir[entrySize:] {
		if order.Uint16(dir) != tagOrientation {
			continue
		}
		// A short stands in the first two bytes of the value, in either byte order.
		value := int(order.Uint16(dir[8:]))
		if order.Uint16(dir[2:]) != typeShort || value < 1 || value > 8 {
			return 0
		}
		return value
	}
	return 0
}
