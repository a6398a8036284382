package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"imagery/app/deploy/settings"
	"imagery/app/imagery"
)

// upload receives one photo. Errors are reported in the order that the API fixes: those of the request's headers, then
// those of its bytes, as early as they show, then those of the image's state.
//
// That the image already has another photo cannot be reported before the end: only the hash of all bytes distinguishes
// a repeated upload, which succeeds, from a different one. There is no temporary file: the bytes stay in memory until
// they are stored.
func (s *Server) upload(c echo.Context) error {
	rs, r := stateOf(c), c.Request()
	rs.setReadDeadline(rs.began.Add(s.timeouts.upload))
	img, err := s.getImage(r.Context(), c.Param("id"))
	if err != nil {
		return err
	}
	getTook := time.Since(rs.began)
	form, file, err := s.filePart(rs, r)
	if err != nil {
		return err
	}
	reservation := s.pool.newReservation(func() { rs.setReadDeadline(time.Unix(1, 0)) })
	defer reservation.release() // before an error is written, which takes time while the client is still sending
	v := &receiver{s: s, reservation: reservation, body: rs.body, hash: sha256.New()}
	if err := v.receive(r.Context(), form, file); err != nil {
		return err
	}
	ctx, cancel := s.dependencyContext(r.Context(), getTook)
	defer cancel()
	img, rs.warning, err = s.Service.Accept(ctx, imagery.Upload{
		ID: img.ID, Hash: hex.EncodeToString(v.hash.Sum(nil)), ContentType: v.contentType,
		Body: reservation.reader(), Size: reservation.size, Trace: rs.trace,
	})
	if err != nil {
		return err
	}
	rs.accepted = true
	if strings.Contains(strings.ToLower(strings.Join(r.Header.Values(echo.HeaderAccept), ",")), echo.MIMETextHTML) {
		return c.Redirect(http.StatusFound, "/#view="+img.ID)
	}
	return writeImage(c, http.StatusAccepted, img)
}

// sniffBytes is enough to detect every format.
const sniffBytes = 64

// The maximum upload is a multiple of blockSize, so that it needs no further block. This fails to compile otherwise.
var _ [0]struct{} = [settings.MaxUploadBytes % blockSize]struct{}{}

// inspectBytes is the number of bytes after which a photo's headers are inspected while it is still arriving. Most
// headers, embedded thumbnails included, are shorter.
const inspectBytes = 256 << 10

// receiver reads the bytes of one file and validates them as they arrive.
type receiver struct {
	s           *Server
	reservation *reservation
	body        *body // of the request
	hash        hash.Hash
	contentType string // empty until it was sniffed
	inspected   bool   // the first inspectBytes were inspected
}

// receive reads the file into the reservation and the form to its end. The bytes that arrived are validated before a
// read error is returned, since errors of the photo have priority; only an exhausted pool comes first.
func (v *receiver) receive(ctx context.Context, form *multipart.Reader, file *multipart.Part) error {
	err := v.readFile(ctx, file)
	whole := err == nil
	if whole {
		err = readToEnd(form, v.body)
	}
	if evicted := v.reservation.disarm(); evicted != nil {
		return evicted
	}
	if errors.Is(err, errPoolExhausted) {
		return err
	}
	if bad := v.validate(whole); bad != nil {
		return bad
	}
	return err
}

// readFile reads the file until it ends or has to be rejected. Its type is known from the first few bytes and its
// header usually within inspectBytes, so that clients do not send 20 MiB in vain.
func (v *receiver) readFile(ctx context.Context, file io.Reader) error {
	for v.reservation.size < settings.MaxUploadBytes {
		data, err := v.reservation.fill(ctx, file)
		v.hash.Write(data)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return bodyError(err)
		}
		if v.contentType == "" && v.reservation.size >= sniffBytes {
			if err := v.sniff(); err != nil {
				return err
			}
		}
		if !v.inspected && v.reservation.size >= inspectBytes {
			v.inspected = true
			if err := v.validate(false); err != nil {
				return err
			}
		}
	}
	switch _, err := io.ReadFull(file, make([]byte, 1)); err {
	case nil:
		return errTooLarge
	case io.EOF:
		return nil
	default:
		return bodyError(err)
	}
}

// sniff sets contentType, unless the bytes so far are of no supported type.
func (v *receiver) sniff() error {
	t, err := v.s.Sniff(v.reservation.head())
	if err == nil {
		v.contentType = t
	}
	return err
}

// validate returns an error if the type or the headers of the photo are bad. If the photo is not whole, only faults
// that further bytes cannot change count.
func (v *receiver) validate(whole bool) error {
	if v.contentType == "" {
		if err := v.sniff(); err != nil {
			if !whole && v.reservation.size < sniffBytes {
				return nil
			}
			return err
		}
	}
	err := v.s.Inspect(v.reservation.reader())
	if !whole && errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
