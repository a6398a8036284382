package server

import (
	"io"
	"net/http"

	"github.com/labstack/echo/v4"
)

// routes is every address that the server answers. Unknown ones are problems too, see refuse.
// There is no wildcard among them: one would make "method not allowed" of addresses that do not exist.
func (s *Server) routes() *echo.Echo {
	e := echo.New()
	e.Logger.SetOutput(io.Discard) // its only words are about answers that came twice; ours log each request once
	e.HTTPErrorHandler = s.refuse
	e.Pre(s.exchange)

	get := func(path string, h echo.HandlerFunc) { e.Match([]string{http.MethodGet, http.MethodHead}, path, h) }
	e.POST("/image", s.create)
	get("/image/:id", s.show)
	e.POST("/image/:id/upload", s.upload)
	get("/image/:id/processed", s.processed)

	get(healthzPath, s.healthz)
	get(readyzPath, s.readyz)
	get("/version", s.version)
	for _, a := range pageAssets(s.ObjectOrigin, s.MaxPixels) {
		get(a.path, a.serve)
	}
	return e
}
