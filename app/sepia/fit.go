package sepia

import (
	"fmt"
	"math"
	"sort"
)

// tooLarge refuses the photo for its memory, in bytes, and says how large one like it may be.
func (p Photo) tooLarge(most int64) error {
	advice := "Please save it as a plain JPEG."
	if width, height := p.fit(most); width > 0 {
		advice = fmt.Sprintf("Of this kind, %d x %d pixels would pass.", width, height)
	}
	return unreadable(fmt.Sprintf("This photo of %d x %d pixels needs %d MiB of memory to be processed, "+
		"and one photo can have %d. %s", p.Width, p.Height, (p.Peak()+1<<20-1)>>20, most>>20, advice), nil)
}

// fit returns the sides of the largest photo of the same kind and shape whose peak is at most that many bytes; zeros if
// there is none.
func (p Photo) fit(most int64) (width, height int) {
	tall := func(width int) int {
		return max(1, int(math.Round(float64(p.Height)*float64(width)/float64(p.Width))))
	}
	width = sort.Search(p.Width, func(i int) bool {
		scaled := p
		scaled.Width, scaled.Height = i+1, tall(i+1)
		scaled.cost = p.at(scaled.Width, scaled.Height)
		return scaled.Peak() > most
	})
	if width == 0 {
		return 0, 0
	}
	return width, tall(width)
}
