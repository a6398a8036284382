package server

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"imagery/app/imagery"
)

// upload receives one photo. The refusals come in the order of the contract: what a request says of itself,
// then what its bytes turn out to be, as early as they show it, then what the image has become meanwhile.
//
// That the image has another photo already cannot be said before the end: only the hash of all bytes tells a
// repeated upload, which succeeds, from another one. There is no temporary file: the bytes stay in their
// chunks until they are stored.
func (s *Server) upload(c echo.Context) error {
	x, r := exchangeOf(c), c.Request()
	x.bodyBy(x.began.Add(s.bounds.upload))
	img, err := s.lookUp(r.Context(), c.Param("id"))
	if err != nil {
		return err
	}
	looked := time.Since(x.began)
	form, file, err := s.filePart(x, r)
	if err != nil {
		return err
	}
	hold := s.room.enter(func() { x.bodyBy(time.Unix(1, 0)) })
	defer hold.leave() // so before a refusal is answered, which takes its time while the client is still sending
	v := &receiver{s: s, hold: hold, body: x.body, hash: sha256.New()}
	if err := v.receive(r.Context(), form, file); err != nil {
		return err
	}
	ctx, cancel := s.bounded(r.Context(), looked)
	defer cancel()
	img, x.warning, err = s.Service.Accept(ctx, imagery.Upload{
		ID: img.ID, Hash: v.sum(), ContentType: v.contentType, Body: hold.reader(), Size: hold.size, Trace: x.trace})
	if err != nil {
		return err
	}
	x.accepted = true
	if strings.Contains(strings.ToLower(strings.Join(r.Header.Values(echo.HeaderAccept), ",")), echo.MIMETextHTML) {
		return c.Redirect(http.StatusFound, "/#view="+img.ID)
	}
	return answerImage(c, http.StatusAccepted, img)
}
