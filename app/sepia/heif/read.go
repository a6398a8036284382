package heif

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// check compares the sizes of the coded pictures with those that the container declares, for which memory was reserved,
// and takes the colours from them if the container has none. Headers that it does not understand are left to the
// decoder.
func (p *Plane) check(file []byte) error {
	for i, it := range p.Tiles {
		c, err := it.header(file)
		if err != nil {
			return err
		}
		if c.width > uint64(it.Width) || c.height > uint64(it.Height) {
			return fmt.Errorf("picture %d has %d x %d pixels, not %d x %d", i, c.width, c.height, it.Width, it.Height)
		}
		if p.CICP == nil {
			p.CICP = c.cicp
		}
	}
	return nil
}

// brands has the format of each major brand, "" for both.
var brands = map[string]Format{
	"heic": HEIC, "heix": HEIC, "heim": HEIC, "heis": HEIC, "hevc": HEIC, "hevx": HEIC, "hevm": HEIC, "hevs": HEIC,
	"avif": AVIF, "avis": AVIF, "avio": AVIF, "mif1": "", "mif2": "", "mif3": "", "msf1": "", "miaf": "",
}

// SniffLen is the number of bytes with which Sniff recognizes every photo.
const SniffLen = 12

// Sniff reports whether a file that begins with head may be a HEIC, HEIF or AVIF photo. The format is "" as long as
// only its pictures can tell it.
func Sniff(head []byte) (f Format, ok bool) {
	if len(head) < SniffLen || string(head[4:8]) != "ftyp" {
		return "", false
	}
	f, ok = brands[string(head[8:12])]
	return f, ok
}

// Parse describes the photo in a whole file. It returns an error that wraps io.ErrUnexpectedEOF if the file is cut
// short, a *UnsupportedError, or another error for a file that is damaged.
func Parse(file []byte) (*Image, error) {
	m, err := Read(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	planes := []*Plane{&m.Plane}
	if m.Alpha != nil {
		planes = append(planes, m.Alpha)
	}
	for _, p := range planes {
		for i, it := range p.Tiles {
			for _, e := range it.extents {
				if e.pos+e.len > int64(len(file)) {
					return nil, fmt.Errorf("picture %d of the photo: %w", i, io.ErrUnexpectedEOF)
				}
			}
		}
		if err := p.check(file); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Read describes the photo of which r has at least the boxes that describe it. The error wraps io.ErrUnexpectedEOF if r
// ends before. Read cannot tell whether the coded pictures are complete; it reads no more than it needs.
func Read(r io.Reader) (*Image, error) {
	s := scanner{r: bufio.NewReader(r)}
	head, err := s.r.Peek(SniffLen)
	if err != nil {
		return nil, short(err)
	}
	if _, ok := Sniff(head); !ok {
		return nil, unsupported("a container that is no photo's")
	}
	var movie, failed result // the track, and the primary item that cannot be used
	sequence := false
	for {
		b, pos, err := s.next()
		if errors.Is(err, io.EOF) {
			return end(movie, failed)
		}
		if err != nil {
			return nil, err
		}
		switch b.kind {
		case "ftyp":
			sequence = sequenceBrand(b.body)
		case "meta":
			m, err := parseMeta(b.body, pos, s.fetch)
			if err == nil || !sequence || s.ahead != nil {
				return m, err
			}
			failed = result{nil, err}
		case "moov":
			m, err := parseMovie(b.body)
			movie = result{m, err}
		}
		if failed.err != nil && movie != (result{}) {
			return end(movie, failed)
		}
	}
}

// result holds the values that a function returned.
type result struct {
	image *Image
	err   error
}

// end returns the photo at the end of the data, where no primary item can be used. An error wraps io.ErrUnexpectedEOF
// if more bytes may have a photo.
func end(movie, failed result) (*Image, error) {
	switch err := errors.Join(failed.err, movie.err); {
	case movie.image != nil:
		return movie.image, nil
	case failed.err != nil && movie.err != nil:
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", err, io.ErrUnexpectedEOF)
	}
	return nil, fmt.Errorf("%w: %w", errNoPhoto, io.ErrUnexpectedEOF)
}

// sequenceBrand reports whether the body of an ftyp box says that the file has a track of pictures.
func sequenceBrand(b []byte) bool {
	for brand := range slices.Chunk(b, 4) {
		switch string(brand) {
		case "msf1", "hevc", "hevx", "hevm", "hevs", "avis":
			return true
		}
	}
	return false
}

// scanner reads the boxes at the top level of a file.
type scanner struct {
	r     *bufio.Reader
	pos   int64
	ahead []byte // was fetched, from pos on
}

// fetch returns a part of the file behind the box that was read last. No further box can be read after it.
func (s *scanner) fetch(e extent) ([]byte, error) {
	from := e.pos - s.pos
	if from < 0 || from+e.len > maxAhead {
		return nil, unsupported("a grid whose description is far from the others")
	}
	if missing := from + e.len - int64(len(s.ahead)); missing > 0 {
		b, err := io.ReadAll(io.LimitReader(s.r, missing))
		s.ahead = append(s.ahead, b...)
		if err == nil && int64(len(b)) < missing {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
	}
	return s.ahead[from:][:e.len], nil
}

// next returns the next box and the position of its body in the file. Only ftyp, meta and moov are held in memory;
// others have no body. It returns io.EOF at the end of the file between two boxes or after one without a length.
func (s *scanner) next() (box, int64, error) {
	b, err := s.r.Peek(headLen)
	if len(b) == 0 {
		return box{}, 0, err
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return box{}, 0, err
	}
	kind, head, size, err := parseHead(b)
	if err != nil {
		return box{}, 0, err
	}
	s.pos += int64(head)
	start := s.pos
	_, _ = s.r.Discard(head) // was peeked
	held := kind == "ftyp" || kind == "meta" || kind == "moov"
	switch {
	case held && (size < 0 || size > maxBox):
		return box{}, 0, unsupported(fmt.Sprintf("more than %d MiB of data beside its pictures", maxBox>>20))
	case !held && size < 0:
		return box{}, 0, io.EOF
	case !held:
		n, err := io.CopyN(io.Discard, s.r, size)
		s.pos += n
		return box{kind: kind}, start, short(err)
	}
	// The length may be wrong, so memory is allocated as the data arrives.
	body, err := io.ReadAll(io.LimitReader(s.r, size))
	s.pos += int64(len(body))
	if err == nil && int64(len(body)) < size {
		err = io.ErrUnexpectedEOF
	}
	return box{kind, body}, start, err
}

func short(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
