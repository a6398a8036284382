// Package jfif is a codec for JPEG: Huffman coded, 8 bits. It works in strips on the stored planes, so that a caller
// does not need memory for the whole image and can encode on several cores.
//
// A strip of the decoder is one row of MCUs; one of the encoder has as many as make stripMCUs, and ends with a restart
// marker.
//
// The decoder reads the files that image/jpeg reads, baseline and progressive, and tests compare the two. Only of a
// progressive file it keeps all coefficients. Unlike for image/jpeg, a file is invalid if a Huffman table has more
// codes than there are, or if skipped blocks of a sequential file go on in the next scan.
//
// The encoder writes 4:2:0 with the standard quantization tables and Huffman tables made for the picture. It makes
// drafts of all strips first, in the standard Huffman codes, and then rewrites them.
package jfif

import "encoding/hex"

// zigzag maps the order of coefficients in the file to their position in the block.
var zigzag = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

// standardQuant holds the tables K.1 (luma) and K.2 (chroma) of ITU-T T.81 for quality 50, in zigzag order.
var standardQuant = [2][64]uint8{{
	16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40,
	26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61, 60, 57, 51,
	56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87,
	95, 98, 103, 104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99,
}, {
	17, 18, 18, 24, 21, 24, 47, 26, 26, 47, 99, 66, 56, 66, 99, 99,
	99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
	99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
	99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
}}

// standardDC and standardAC are the Huffman tables K.3 to K.6, luma and chroma, in the format of a DHT segment: the
// number of codes of each length from 1 to 16, then the symbols.
var (
	standardDC = [2]string{
		unhex("00010501010101010100000000000000000102030405060708090a0b"),
		unhex("00030101010101010101010000000000000102030405060708090a0b"),
	}
	standardAC = [2]string{
		unhex("0002010303020403050504040000017d" +
			"01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a343536373839" +
			"3a434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7" +
			"a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa"),
		unhex("00020102040403040705040400010277" +
			"000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718191a262728292a35363738" +
			"393a434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a92939495969798999aa2a3a4a5" +
			"a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa"),
	}
)

func unhex(s string) string {
	b, _ := hex.DecodeString(s)
	return string(b)
}

// The markers of a file.
const (
	markerSOF0, markerSOF1, markerSOF2              = 0xc0, 0xc1, 0xc2
	markerDHT, markerDQT, markerDRI                 = 0xc4, 0xdb, 0xdd
	markerSOI, markerSOS, markerRST0, markerEOI     = 0xd8, 0xda, 0xd0, 0xd9
	markerAPP0, markerAPP14, markerAPP15, markerCOM = 0xe0, 0xee, 0xef, 0xfe
)
