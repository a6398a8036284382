//go:build noheif

package codec

import "imagery/app/sepia/heif"

const included = false

var decoders map[heif.Format]*decoder
