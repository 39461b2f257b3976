// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"net/http"

	"ferrite/httpapi/wire"
)

// resources are those that GET /v1 names, with the minor since which it does.
var resources = []struct {
	name  string
	since int
}{{"chassis", 1}, {"nodes", 1}, {"ports", 1}, {"drivers", 1}, {"conductors", 49}, {"shards", 82}}

// rootDocument is GET /; it answers any method.
func (s *Server) rootDocument(r *request) error {
	b := append(r.buffer(), `{"name":"OpenStack Ironic API","description":"Ferrite, a bare metal conductor that speaks Ironic's API.","default_version":`...)
	b = append(s.appendVersion(b, r), `,"versions":[`...)
	b = append(s.appendVersion(b, r), `]}`...)
	r.json(http.StatusOK, b)
	return nil
}

// appendVersion appends what there is to say of v1.
func (s *Server) appendVersion(b []byte, r *request) []byte {
	b = append(b, `{"id":"v1","links":[{"href":`...)
	b = append(wire.AppendString(b, r.base+"/v1/"), `,"rel":"self"}],"status":"CURRENT","min_version":"`...)
	b = append(append(b, wire.VersionString(wire.MinMinor)...), `","version":"`...)
	return append(append(b, wire.VersionString(wire.MaxMinor)...), `"}`...)
}

// v1Document is GET /v1.
func (s *Server) v1Document(r *request) error {
	if m := r.method(); m != http.MethodGet && m != http.MethodHead {
		return &plainError{status: http.StatusMethodNotAllowed, text: "The method " + m + " is not allowed for /v1: wanted GET or HEAD.", allow: "GET, HEAD"}
	}
	b := append(r.buffer(), `{"id":"v1","links":[{"href":`...)
	b = append(wire.AppendString(b, r.base+"/v1/"), `,"rel":"self"},{"href":"https://docs.openstack.org/ironic/latest/contributor/webapi.html","rel":"describedby","type":"text/html"}],`...)
	b = append(b, `"media_types":{"base":"application/json","type":"application/vnd.openstack.ironic.v1+json"},"version":`...)
	b = s.appendVersion(b, r)
	for _, res := range resources {
		if res.since > r.minor() || res.name == "chassis" && s.cfg.Chassis == nil {
			continue
		}
		b = append(append(append(b, `,"`...), res.name...), `":[{"href":`...)
		b = append(wire.AppendString(b, r.base+"/v1/"+res.name+"/"), `,"rel":"self"},{"href":`...)
		b = append(wire.AppendString(b, r.base+"/"+res.name+"/"), `,"rel":"bookmark"}]`...)
	}
	r.json(http.StatusOK, append(b, '}'))
	return nil
}
