// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"net/http"

	"github.com/valyala/fasthttp"
)

// internal answers what is not Ironic's: health and metrics, without auth and version headers.
func (s *Server) internal(ctx *fasthttp.RequestCtx) bool {
	switch string(ctx.URI().PathOriginal()) { // as sent: a proxy that hides /metrics hides it all
	case "/healthz":
		ctx.SetContentType("text/plain; charset=utf-8")
		ctx.SetBodyString("ok\n")
	case "/readyz":
		ctx.SetContentType("text/plain; charset=utf-8")
		if s.cfg.Health != nil {
			if err := s.cfg.Health.Ready(); err != nil {
				ctx.SetStatusCode(http.StatusServiceUnavailable)
				ctx.SetBodyString(err.Error() + "\n")
				return true
			}
			if ails := s.cfg.Health.Ails(); ails != "" {
				ctx.SetBodyString("ready, but " + ails + "\n")
				return true
			}
		}
		ctx.SetBodyString("ready\n")
	case "/metrics", "/metrics/sensors":
		if s.metrics == nil {
			return false
		}
		s.metrics(ctx)
	default:
		return false
	}
	return true
}
