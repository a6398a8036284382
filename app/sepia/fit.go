package sepia

import (
	"fmt"
	"math"
	"sort"
)

// tooLarge returns the error for a photo that needs more than the available bytes. It names a size that would pass.
func (p Photo) tooLarge(available int64) error {
	advice := "Please save it as a plain JPEG."
	if width, height := p.fit(available); width > 0 {
		advice = fmt.Sprintf("Of this kind, %d x %d pixels would pass.", width, height)
	}
	return unreadable(fmt.Sprintf("This photo of %d x %d pixels needs %d MiB of memory to be processed, "+
		"but at most %d MiB are available. %s", p.Width, p.Height, (p.Peak()+1<<20-1)>>20, available>>20, advice), nil)
}

// fit returns the size of the largest photo of the same kind and aspect ratio that needs at most the available bytes,
// or zeros if there is none.
func (p Photo) fit(available int64) (width, height int) {
	tall := func(width int) int {
		return max(1, int(math.Round(float64(p.Height)*float64(width)/float64(p.Width))))
	}
	width = sort.Search(p.Width, func(i int) bool {
		scaled := p
		scaled.Width, scaled.Height = i+1, tall(i+1)
		scaled.cost = p.at(scaled.Width, scaled.Height)
		return scaled.Peak() > available
	})
	if width == 0 {
		return 0, 0
	}
	return width, tall(width)
}
