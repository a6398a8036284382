package sepia_test

import "encoding/binary"

// exif is a TIFF structure as cameras write it: a place in the GPS directory beside the orientation.
func exif(orientation uint16) []byte {
	b := []byte("MM\x00*\x00\x00\x00\x08")
	b = binary.BigEndian.AppendUint16(b, 2)
	entry := func(tag, kind uint16, count uint32, value []byte) {
		b = binary.BigEndian.AppendUint16(b, tag)
		b = binary.BigEndian.AppendUint16(b, kind)
		b = binary.BigEndian.AppendUint32(b, count)
		b = append(append(b, value...), make([]byte, 4-len(value))...)
	}
	entry(0x0112, 3, 1, binary.BigEndian.AppendUint16(nil, orientation))
	entry(0x8825, 4, 1, binary.BigEndian.AppendUint32(nil, 8+2+2*12+4))
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, 1)
	entry(0x0001, 2, 2, []byte("N\x00"))
	return append(b, "\x00\x00\x00\x00"+place...)
}

// place is metadata that must not be in the result.
const place = "GPS 52.5163 N 13.3777 E"

func exifSegment(orientation uint16) []byte {
	return jpegSegment(0xe1, append([]byte("Exif\x00\x00"), exif(orientation)...)...)
}
