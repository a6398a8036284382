package server

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

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
