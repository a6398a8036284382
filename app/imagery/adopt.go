package imagery

import (
	"context"
	"errors"
	"fmt"
)

// adopt adds an unfinished image of the original application to the pending index, so that the reconciler sends its
// hint again when that is lost. Nothing that users see changes, so the version stays. It returns ErrConflict if the
// image was moved meanwhile, and so was listed if it is still unfinished.
func (s *Service) adopt(ctx context.Context, img Image) (Image, error) {
	to := img
	// Hinted, because the caller has a hint or sends one. The time of the upload may be so long ago that the next hint is
	// due in hours only.
	to.Unlisted, to.Hinted = false, s.Now()
	if err := s.Catalog.Move(ctx, img, to); err != nil {
		return img, fmt.Errorf("list image %s as pending: %w", img.ID, err)
	}
	return to, nil
}

// GetForUser returns the image like Get. It adopts an unfinished image of the original application, and sends its hint.
func (s *Service) GetForUser(ctx context.Context, id string) (Image, error) {
	img, err := s.Get(ctx, id)
	if err != nil || !img.Unlisted {
		return img, err
	}
	adopted, err := s.adopt(ctx, img)
	if err != nil {
		return img, nil // as it was read; the next read adopts it, unless it was moved
	}
	_ = s.hint(ctx, adopted, "") // a lost one is sent again by the reconciler, to which the image is known now
	return adopted, nil
}

// Adopt adds an unfinished image of the original application to the pending index and sends its hint. It reports
// whether the image needed that.
func (s *Service) Adopt(ctx context.Context, id string) (adopted bool, err error) {
	img, err := s.Get(ctx, id)
	if errors.Is(err, ErrNotFound) || err == nil && !img.Unlisted {
		return false, nil
	}
	if err == nil {
		img, err = s.adopt(ctx, img)
	}
	if errors.Is(err, ErrConflict) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, s.hint(ctx, img, "")
}
