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

// imageJSON is an image as the API represents it.
type imageJSON struct {
	ID             string        `json:"id"`
	Version        int64         `json:"version"`
	State          imagery.State `json:"state"`
	Created        int64         `json:"created"` // Unix milliseconds
	RawKey         string        `json:"rawS3Key,omitempty"`
	ProcessedKey   string        `json:"processedS3Key,omitempty"`
	ProcessedImage string        `json:"processedImage,omitempty"` // path, usable in <img src>
	Warning        string        `json:"warning,omitempty"`        // what was mended in the photo
	Error          string        `json:"error,omitempty"`
}

// writeImage responds with the image. Caching is forbidden, since an image may change at any time.
func writeImage(c echo.Context, status int, img imagery.Image) error {
	body := imageJSON{ID: img.ID, Version: img.Version, State: img.State, Created: img.Created.UnixMilli(),
		RawKey: img.RawKey}
	switch img.State { // items of other programs may have these fields in other states
	case imagery.Processed:
		body.ProcessedKey, body.ProcessedImage = img.ProcessedKey, imagePath(img.ID)+"/processed"
		body.Warning = img.Warning
	case imagery.Failed:
		body.Error = img.Error
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	return c.JSON(status, body)
}

func imagePath(id string) string { return "/image/" + id }

// maxCreate is the largest body of a create, in bytes. An id needs 46; the rest is for unknown members.
const maxCreate = 8 << 10

// create creates an image with the id in the body, or with a new one. A client that chooses the id itself may repeat a
// create whose response it never got; status 200 instead of 201 means that the image existed already.
func (s *Server) create(c echo.Context) error {
	stateOf(c).body.limit(maxCreate, errBadCreate)
	id, err := readCreate(c.Request().Body)
	if err != nil {
		return err
	}
	ctx, cancel := s.dependencyContext(c.Request().Context(), 0)
	defer cancel()
	img, created, err := s.Service.Create(ctx, id)
	if err != nil {
		return err
	}
	if !created {
		return writeImage(c, http.StatusOK, img)
	}
	c.Response().Header().Set(echo.HeaderLocation, imagePath(img.ID))
	return writeImage(c, http.StatusCreated, img)
}

// readCreate returns the id in the body, empty if there is none. It reads only the member "id", in this exact case.
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
		return "", errBadCreate.withCause(err)
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
	return imagery.ParseID(id) // also rejects an empty id, for which Create would make a new one
}

// show responds with the image, at once or, with the parameter wait, after a long poll.
func (s *Server) show(c echo.Context) error {
	id, err := imagery.ParseID(c.Param("id"))
	if err != nil {
		return err
	}
	ctx, query := c.Request().Context(), c.QueryParams()
	if !query.Has("wait") {
		img, err := s.getImage(ctx, id)
		if err != nil {
			return err
		}
		return writeImage(c, http.StatusOK, img)
	}
	stateOf(c).longPoll = true
	params, err := parseWaitParams(query)
	if err != nil {
		return err
	}
	img, early, err := s.longPoller.wait(ctx, id, params)
	if err != nil {
		return err
	}
	if early {
		c.Response().Header().Set(echo.HeaderRetryAfter, longPollRetryAfter)
	}
	return writeImage(c, http.StatusOK, img)
}

// processed redirects the client to the result, or sends the result if the store has no links. On AWS the bytes never
// pass through a server. A presigned link expires soon, so each request gets a new one and the address of this route
// stays valid.
func (s *Server) processed(c echo.Context) error {
	ctx, cancel := s.dependencyContext(c.Request().Context(), 0)
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
		return errNoResult.withCause(fmt.Errorf("open %s: %w", img.ProcessedKey, err)) // the object is lost
	}
	if err != nil {
		return fmt.Errorf("link %s: %w", img.ProcessedKey, err)
	}
	if link.URL != "" {
		c.Response().Header().Set("Cache-Control", "no-store") // the link expires
		return c.Redirect(http.StatusFound, link.URL)
	}
	return sendResult(c, link.Body, img.ProcessedKey, filename)
}

// minDownloadRate is in bytes per second; a slower download is cut off.
const minDownloadRate = 32 << 10

// sendResult streams the bytes of an object and closes it. It needs only small buffers, so a client that reads slowly
// occupies a connection, but no memory of the pool.
func sendResult(c echo.Context, body io.ReadSeekCloser, key, filename string) (err error) {
	defer func() { err = errors.Join(err, body.Close()) }()
	size, err := body.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("get the size of %s: %w", key, err)
	}
	h := c.Response().Header()
	if t := mime.TypeByExtension(path.Ext(key)); t != "" { // otherwise ServeContent detects the type
		h.Set("Content-Type", t)
	}
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox") // never run as a document of this origin
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", `"`+url.PathEscape(path.Base(key))+`"`) // the key contains the hash of the upload
	if filename != "" {
		h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": filename}))
	}
	if strings.Contains(c.Request().Header.Get("Range"), ",") { // the response could be larger than the object
		c.Request().Header.Del("Range")
	}
	slowest := time.Duration(size/minDownloadRate) * time.Second
	_ = stateOf(c).control.SetWriteDeadline(time.Now().Add(writeTimeout + slowest))
	http.ServeContent(c.Response(), c.Request(), "", time.Time{}, body)
	return nil
}
