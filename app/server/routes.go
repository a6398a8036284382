package server

import (
	"io"
	"net/http"

	"github.com/labstack/echo/v4"
)

// routes registers every route. There are no wildcard routes: one would make 405 of the 404 of unknown addresses.
func (s *Server) routes() *echo.Echo {
	e := echo.New()
	e.Logger.SetOutput(io.Discard) // logRequest logs every request
	e.HTTPErrorHandler = s.writeError
	e.Pre(s.middleware)

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
