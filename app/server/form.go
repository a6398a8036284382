package server

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"time"

	"imagery/app/deploy/settings"
)

// Sizes of a form, in bytes.
const (
	maxForm   = settings.MaxUploadBytes + settings.UploadEnvelope
	maxFields = 64 << 10
	// maxBefore also counts boundaries and part headers, which are kept in memory while they are read.
	maxBefore = maxFields + 64<<10
	// maxPartHeader bounds the header of one part with the boundary before it, and what the reader reads ahead. The
	// number of its fields is bounded by go.mod (multipartmaxheaders), since fields of few bytes take a hundred each.
	maxPartHeader = 8 << 10
)

// filePart reads up to the bytes of the first file in the form. A declared length that is too large comes
// after a missing file part in the order of refusals, so that the beginning of such a body is looked at too,
// but only briefly, and not at all if the client waits for a word before it sends it.
func (s *Server) filePart(x *exchange, r *http.Request) (*multipart.Reader, *multipart.Part, error) {
	x.body.limit(maxBefore, errFields)
	form, err := r.MultipartReader()
	if err != nil {
		return nil, nil, errNotForm.because(err)
	}
	if t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); t != "multipart/form-data" {
		return nil, nil, errNotForm // MultipartReader takes multipart/mixed, too
	}
	tooLarge := r.ContentLength > maxForm
	if tooLarge && x.body.expects {
		return nil, nil, errTooLarge
	}
	if tooLarge {
		x.bodyBy(time.Now().Add(s.bounds.look))
	}
	file, err := firstFile(form, x.body)
	if tooLarge && (err == nil || errors.Is(err, os.ErrDeadlineExceeded)) {
		return nil, nil, errTooLarge
	}
	if err != nil {
		return nil, nil, err
	}
	x.body.limit(maxForm, errTooLarge)
	return form, file, nil
}

// nextPart reads the header of the next part, which is kept in memory and so bounded; the part before must have been
// read to its end. Parts are read raw: a transfer encoding is forbidden in forms (RFC 7578), and to undo one would mean
// to hash other bytes than were sent.
func nextPart(form *multipart.Reader, b *body) (*multipart.Part, error) {
	most, over := b.most, b.over
	if header := b.read + maxPartHeader; header < most {
		b.limit(header, errFields)
	}
	part, err := form.NextRawPart()
	b.limit(most, over)
	return part, err
}

// firstFile skips the fields before the first file.
func firstFile(form *multipart.Reader, b *body) (*multipart.Part, error) {
	for left := int64(maxFields); ; {
		part, err := nextPart(form, b)
		if errors.Is(err, io.EOF) { // also wrapped: the body ended as it should, but there was no end of a form in it
			return nil, errNoFile
		}
		if err != nil {
			return nil, bodyError(err)
		}
		if isFile(part) {
			return part, nil
		}
		n, err := io.Copy(io.Discard, io.LimitReader(part, left+1))
		if err != nil {
			return nil, bodyError(err)
		}
		if left -= n; left < 0 {
			return nil, errFields
		}
	}
}

// isFile reports whether the part has a file name, be it empty: that is what makes a file of a part, for
// browsers too. A header that cannot be parsed, as with unescaped quotes in the name, gets the benefit of the doubt.
func isFile(p *multipart.Part) bool {
	disposition := p.Header.Get("Content-Disposition")
	_, params, err := mime.ParseMediaType(disposition)
	_, named := params["filename"]
	return named || err != nil && strings.Contains(strings.ToLower(disposition), "filename")
}

// finish reads the form behind the file to its end. Nothing in it counts, but a form that was cut short there
// was cut short.
func finish(form *multipart.Reader, b *body) error {
	for {
		part, err := nextPart(form, b)
		if err == io.EOF {
			break
		}
		if err == nil {
			_, err = io.Copy(io.Discard, part)
		}
		if err != nil {
			return bodyError(err)
		}
	}
	if _, err := io.Copy(io.Discard, b); err != nil {
		return bodyError(err)
	}
	return nil
}
