//go:build !noheif

package codec

import (
	_ "embed"

	"imagery/app/sepia/heif"
)

const included = true

//go:embed heic.wasm.gz
var heicWasm []byte

//go:embed avif.wasm.gz
var avifWasm []byte

var decoders = map[heif.Format]*decoder{
	heif.HEIC: {wasm: heicWasm, decode: decodeHEIC},
	heif.AVIF: {wasm: avifWasm, decode: decodeAVIF},
}
