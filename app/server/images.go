package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"imagery/app/imagery"
)

// answer is an image as clients see it.
type answer struct {
	ID             string        `json:"id"`
	Version        int64         `json:"version"`
	State          imagery.State `json:"state"`
	Created        int64         `json:"created"` // Unix milliseconds
	RawKey         string        `json:"rawS3Key,omitempty"`
	ProcessedKey   string        `json:"processedS3Key,omitempty"`
	ProcessedImage string        `json:"processedImage,omitempty"` // can be put into <img src> as it is
	Error          string        `json:"error,omitempty"`
}

// answerImage answers with the image. No cache may keep it: it changes without notice.
func answerImage(c echo.Context, status int, img imagery.Image) error {
	a := answer{ID: img.ID, Version: img.Version, State: img.State, Created: img.Created.UnixMilli(),
		RawKey: img.RawKey}
	switch img.State { // rows of others may have more
	case imagery.Processed:
		a.ProcessedKey, a.ProcessedImage = img.ProcessedKey, imagePath(img.ID)+"/processed"
	case imagery.Failed:
		a.Error = img.Error
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	return c.JSON(status, a)
}

func imagePath(id string) string { return "/image/" + id }

// maxCreate is the largest body of a create, in bytes; an id needs 46, the rest is for members that we do not know.
const maxCreate = 8 << 10

// create makes an image under the id in the body, or under a new one. A client that chooses the id itself may
// repeat a create whose answer it never saw; 200 instead of 201 tells it that the first one worked.
func (s *Server) create(c echo.Context) error {
	exchangeOf(c).body.limit(maxCreate, errBadCreate)
	id, err := readCreate(c.Request().Body)
	if err != nil {
		return err
	}
	ctx, cancel := s.bounded(c.Request().Context(), 0)
	defer cancel()
	img, fresh, err := s.Service.Create(ctx, id)
	if err != nil {
		return err
	}
	if !fresh {
		return answerImage(c, http.StatusOK, img)
	}
	c.Response().Header().Set(echo.HeaderLocation, imagePath(img.ID))
	return answerImage(c, http.StatusCreated, img)
}

// readCreate returns the id in the body, empty if it names none. Only the member "id", spelled like that, is read.
func readCreate(r io.Reader) (id string, err error) {
	raw, err := io.ReadAll(r)
	if err != nil {
		return "", bodyError(err)
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return "", nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return "", errBadCreate.because(err)
	}
	if members == nil {
		return "", errBadCreate // null
	}
	member, named := members["id"]
	if !named {
		return "", nil
	}
	if err := json.Unmarshal(member, &id); err != nil {
		return "", imagery.ErrInvalidID
	}
	return imagery.ParseID(id) // here, because Create takes an empty id for none
}

// show answers with the image, at once or when it has changed, see wait.go.
func (s *Server) show(c echo.Context) error {
	id, err := imagery.ParseID(c.Param("id"))
	if err != nil {
		return err
	}
	ctx, query := c.Request().Context(), c.QueryParams()
	var img imagery.Image
	if query.Has("wait") {
		exchangeOf(c).waited = true
		var w wish
		if w, err = parseWish(query); err != nil {
			return err
		}
		var early bool
		if img, early, err = s.waits.wait(ctx, id, w); early && err == nil {
			c.Response().Header().Set(echo.HeaderRetryAfter, askAgain)
		}
	} else {
		img, err = s.lookUp(ctx, id)
	}
	if err != nil {
		return err
	}
	return answerImage(c, http.StatusOK, img)
}

// processed sends the client to the result, or sends the result when the backend has no links. On AWS the bytes
// never pass through a server: links are short-lived, and made here so that an address in a page stays valid.
func (s *Server) processed(c echo.Context) error {
	ctx, cancel := s.bounded(c.Request().Context(), 0)
	defer cancel()
	img, err := s.Service.Get(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	if img.State != imagery.Processed || img.ProcessedKey == "" {
		return errNoResult
	}
	var filename string
	if c.QueryParam("download") == "1" {
		filename = img.ID + path.Ext(img.ProcessedKey)
	}
	link, err := s.Service.Blobs.Link(ctx, img.ProcessedKey, filename)
	if errors.Is(err, imagery.ErrNotFound) {
		return errNoResult.because(fmt.Errorf("open %s: %w", img.ProcessedKey, err)) // the image is there, its result is lost
	}
	if err != nil {
		return fmt.Errorf("link %s: %w", img.ProcessedKey, err)
	}
	if link.URL != "" {
		c.Response().Header().Set("Cache-Control", "no-store") // the link ends; the next answer has a new one
		return c.Redirect(http.StatusFound, link.URL)
	}
	return sendResult(c, link.Body, img.ProcessedKey, filename)
}

// slowestDownload is the least speed of a download, in bytes per second: below it the connection is cut.
const slowestDownload = 32 << 10

// sendResult streams the bytes of an object and closes it. No more of it is held than a few buffers, so a client that
// reads slowly costs a connection and no memory of uploads.
func sendResult(c echo.Context, body io.ReadSeekCloser, key, filename string) (err error) {
	defer func() { err = errors.Join(err, body.Close()) }()
	size, err := body.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("find the size of %s: %w", key, err)
	}
	h := c.Response().Header()
	if t := mime.TypeByExtension(path.Ext(key)); t != "" { // keys of the book's app may have none: by its bytes then
		h.Set("Content-Type", t)
	}
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox") // a photo is never a document of our origin
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", `"`+url.PathEscape(path.Base(key))+`"`) // the name of an object says what is in it
	if filename != "" {
		h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": filename}))
	}
	if strings.Contains(c.Request().Header.Get("Range"), ",") { // many ranges make an answer larger than the object
		c.Request().Header.Del("Range")
	}
	length := time.Duration(size/slowestDownload) * time.Second
	_ = exchangeOf(c).control.SetWriteDeadline(time.Now().Add(writeTimeout + length))
	http.ServeContent(c.Response(), c.Request(), "", time.Time{}, body)
	return nil
}
