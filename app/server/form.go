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

// Limits of a form, in bytes.
const (
	maxForm   = settings.MaxUploadBytes + settings.UploadEnvelope
	maxFields = 64 << 10
	// maxBefore is the limit of everything before the file. Besides fields it covers boundaries and part headers, which
	// are kept in memory while they are read.
	maxBefore = maxFields + 64<<10
	// maxPartHeader is the limit of the header of one part, with the boundary before it and the bytes read ahead. The
	// number of header fields is limited in go.mod (multipartmaxheaders), since each takes some 100 bytes of memory.
	maxPartHeader = 8 << 10
)

// filePart reads the form up to the bytes of its first file. A missing file part has priority over a declared length
// that is too large, so the beginning of such a body is read too, but only for a short time, and not at all if the
// client waits for 100 Continue.
func (s *Server) filePart(rs *requestState, r *http.Request) (*multipart.Reader, *multipart.Part, error) {
	rs.body.limit(maxBefore, errLongFields)
	form, err := r.MultipartReader()
	if err != nil {
		return nil, nil, errNotMultipart.withCause(err)
	}
	if t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); t != "multipart/form-data" {
		return nil, nil, errNotMultipart // MultipartReader accepts multipart/mixed, too
	}
	tooLarge := r.ContentLength > maxForm
	if tooLarge && rs.body.expectContinue {
		return nil, nil, errTooLarge
	}
	if tooLarge {
		rs.setReadDeadline(time.Now().Add(s.timeouts.oversized))
	}
	file, err := firstFile(form, rs.body)
	if tooLarge && (err == nil || errors.Is(err, os.ErrDeadlineExceeded)) {
		return nil, nil, errTooLarge
	}
	if err != nil {
		return nil, nil, err
	}
	rs.body.limit(maxForm, errTooLarge)
	return form, file, nil
}

// nextPart reads the header of the next part, which is limited because it is kept in memory; the part before must have
// been read to its end. Parts are read raw: forms have no transfer encoding (RFC 7578), and decoding one would mean
// hashing other bytes than were sent.
func nextPart(form *multipart.Reader, b *body) (*multipart.Part, error) {
	bodyMax, errOverMax := b.max, b.errOverMax
	if headerMax := b.read + maxPartHeader; headerMax < bodyMax {
		b.limit(headerMax, errLongFields)
	}
	part, err := form.NextRawPart()
	b.limit(bodyMax, errOverMax)
	return part, err
}

// firstFile skips the fields before the first file, and returns the file's part.
func firstFile(form *multipart.Reader, b *body) (*multipart.Part, error) {
	for left := int64(maxFields); ; {
		part, err := nextPart(form, b)
		if errors.Is(err, io.EOF) { // wrapped too: the body is complete, but the form in it has no end
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
			return nil, errLongFields
		}
	}
}

// isFile reports whether the part has the parameter filename, even if it is empty, as browsers do. A header that cannot
// be parsed, for example because of unescaped quotes, counts as a file if it contains the word.
func isFile(p *multipart.Part) bool {
	disposition := p.Header.Get("Content-Disposition")
	_, params, err := mime.ParseMediaType(disposition)
	_, named := params["filename"]
	return named || err != nil && strings.Contains(strings.ToLower(disposition), "filename")
}

// readToEnd reads the rest of the form, and of the body, after the file. Its contents are ignored, but it returns
// errTruncated if the body ends too early.
func readToEnd(form *multipart.Reader, b *body) error {
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
