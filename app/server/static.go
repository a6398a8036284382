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

// asset is one file of the page, at its own address: there is no folder to walk out of.
type asset struct {
	path, name, etag, csp string
	body                  []byte
}

// pixelLimit is where index.html carries the largest photo.
var pixelLimit = regexp.MustCompile(`(name="max-pixels" content=")\d+`)

// pageAssets is the embedded page; index.html is at the root and says maxPixels, unless that is 0.
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
		panic(err) // the files are in the binary
	}
	return all
}

// pagePolicy lets the page load nothing but its own files, and photos: chosen ones as blob: or data:, results
// from us or, through a redirect, from the bucket. No HSTS: a load balancer without a certificate is legal.
func pagePolicy(objectOrigin string) string {
	return strings.Join([]string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "form-action 'self'",
		strings.TrimSpace("img-src 'self' blob: data: " + objectOrigin), "base-uri 'none'", "frame-ancestors 'none'",
	}, "; ")
}

// serve answers with the file, or with 304 to who has it.
func (a asset) serve(c echo.Context) error {
	h := c.Response().Header()
	h.Set("Content-Security-Policy", a.csp)
	h.Set("Cache-Control", "no-cache") // ask each time, by ETag: a new release must not meet old scripts
	h.Set("ETag", a.etag)
	http.ServeContent(c.Response(), c.Request(), a.name, time.Time{}, bytes.NewReader(a.body))
	return nil
}
