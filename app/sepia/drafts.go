package sepia

// drafts holds the drafts of a photo's strips in chunks. Its memory becomes that of the result: each chunk is given
// back when its bytes were read. A draft takes at least the bytes that the strip takes in the file, so that both
// together hardly need more than the drafts alone.
type drafts struct {
	sink
	lengths []int // of the drafts that were not yet read
	read    int   // bytes of the first chunk
}

// push appends a draft.
func (d *drafts) push(draft []byte) error {
	d.lengths = append(d.lengths, len(draft))
	_, err := d.Write(draft)
	return err
}

// pull appends the first draft to dst and removes it. It appends chunks that are no longer needed to free.
func (d *drafts) pull(dst []byte, free *chunks) []byte {
	n := d.lengths[0]
	d.lengths = d.lengths[1:]
	for n > 0 {
		part := d.chunks[0][d.read:]
		part = part[:min(n, len(part))]
		dst = append(dst, part...)
		n, d.read = n-len(part), d.read+len(part)
		if d.read == len(d.chunks[0]) {
			*free = append(*free, d.chunks[0])
			d.chunks, d.read = d.chunks[1:], 0
		}
	}
	return dst
}
