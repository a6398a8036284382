package sepia

// profileParts collects the ICC profile of a JPEG. A segment has less than 64 KiB, so a large profile has several, each
// with its number and the number of all. They may be in any order.
type profileParts struct {
	parts   []span
	missing int // of parts
	damaged bool
}

// profilePrefix precedes the number of a part, counted from 1, the number of all, and the part.
const profilePrefix = "ICC_PROFILE\x00"

// profilePart reads an APP2 segment of n bytes. As in libjpeg, a profile counts if it is complete before the image.
func (r *jpegReader) profilePart(n int64) error {
	const head = len(profilePrefix) + 2
	if n < int64(head) || r.scans > 0 {
		return r.skip(n)
	}
	b, err := r.next(head)
	if err != nil {
		return err
	}
	n -= int64(head)
	if string(b[:len(profilePrefix)]) == profilePrefix {
		r.profile.add(int(b[head-2]), int(b[head-1]), span{r.pos, n})
	}
	return r.skip(n)
}

// add adds part i of n. A part that is there twice, or one more of another number of parts, damages the profile.
func (p *profileParts) add(i, n int, part span) {
	if p.parts == nil {
		p.parts, p.missing = make([]span, n), n
	}
	if i < 1 || i > n || n != len(p.parts) || p.parts[i-1].pos > 0 {
		p.damaged = true
		return
	}
	p.parts[i-1] = part
	p.missing--
}

// all returns the parts in order, or nil if the profile is damaged or incomplete.
func (p *profileParts) all() []span {
	if p.damaged || p.missing > 0 {
		return nil
	}
	return p.parts
}
