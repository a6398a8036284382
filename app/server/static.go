package server

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

//go:embed web
var web embed.FS

// asset is one file of the page. Each has a route of its own, so path traversal is impossible.
type asset struct {
	path, name, etag, csp string
	body                  []byte
}

// pixelLimit matches the element of index.html that has the pixel limit.
var pixelLimit = regexp.MustCompile(`(name="max-pixels" content=")\d+`)

// pageAssets returns the files of the embedded page. index.html is at the root, and has maxPixels as its pixel limit
// unless that is 0.
func pageAssets(objectOrigin string, maxPixels int64) []asset {
	csp := pagePolicy(objectOrigin)
	var all []asset
	err := fs.WalkDir(web, "web", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := web.ReadFile(file)
		if err != nil {
			return err
		}
		if maxPixels != 0 {
			body = pixelLimit.ReplaceAll(body, fmt.Appendf(nil, "${1}%d", maxPixels))
		}
		sum := sha256.Sum256(body)
		a := asset{strings.TrimPrefix(file, "web"), entry.Name(), `"` + hex.EncodeToString(sum[:16]) + `"`, csp, body}
		if a.path == "/index.html" {
			a.path = "/"
		}
		all = append(all, a)
		return nil
	})
	if err != nil {
		panic(err) // impossible, as the files are embedded
	}
	return all
}

// pagePolicy returns the page's Content-Security-Policy. It allows only the page's own files, and photos: blob: and
// data: for chosen ones, this server and, through a redirect, the bucket for results.
func pagePolicy(objectOrigin string) string {
	return strings.Join([]string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "form-action 'self'",
		strings.TrimSpace("img-src 'self' blob: data: " + objectOrigin), "base-uri 'none'", "frame-ancestors 'none'",
	}, "; ")
}

// serve responds with the file, or with 304 if the client has the current version.
func (a asset) serve(c echo.Context) error {
	h := c.Response().Header()
	h.Set("Content-Security-Policy", a.csp)
	h.Set("Cache-Control", "no-cache") // revalidate: scripts of two releases must not be mixed
	h.Set("ETag", a.etag)
	http.ServeContent(c.Response(), c.Request(), a.name, time.Time{}, bytes.NewReader(a.body))
	return nil
}
