package sepia

import "encoding/binary"

// exifLimit bounds how much of an EXIF block is read, in bytes: the maximum of a JPEG segment. The orientation is in
// the first directory, before the thumbnail.
const exifLimit = 64 << 10

// exifOrientation returns the orientation, 1 to 8, from the TIFF structure of an EXIF block, or 0 if it has no valid
// one. Damaged EXIF does not make a photo unreadable.
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
	// The count may be wrong, so the loop also ends with the data.
	start := int64(order.Uint32(tiff[4:]))
	if start+2 > int64(len(tiff)) {
		return 0
	}
	count := int(order.Uint16(tiff[start:]))
	for dir := tiff[start+2:]; count > 0 && len(dir) >= entrySize; count, dir = count-1, dir[entrySize:] {
		if order.Uint16(dir) != tagOrientation {
			continue
		}
		// A short is in the first two bytes of the value, in either byte order.
		value := int(order.Uint16(dir[8:]))
		if order.Uint16(dir[2:]) != typeShort || value < 1 || value > 8 {
			return 0
		}
		return value
	}
	return 0
}
