// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"ferrite/httpapi/wire"
)

// refused marks a request whose body is not read, by the key of refusals. No client can send the mark: it is deleted.
const refused = "Ferrite-Refused"

// refusals of a request by its header.
var refusals = map[string]*flatError{
	"size":    {status: http.StatusRequestEntityTooLarge, text: bodyTooLarge, reason: refusedSize},
	"framing": {status: http.StatusBadRequest, text: "The request says twice how long its body is: wanted either Content-Length or Transfer-Encoding: chunked.", reason: refusedFraming},
	"coding":  {status: http.StatusUnsupportedMediaType, text: "The request body is compressed: wanted it as it is, without Content-Encoding.", reason: refusedCoding},
	"version": {status: http.StatusHTTPVersionNotSupported, text: "The request has another version of HTTP: wanted HTTP/1.1 or HTTP/1.0.", reason: refusedVersion},
	"room":    {status: http.StatusServiceUnavailable, text: noRoom, reason: refusedMemory},
}

const noRoom = "The conductor holds as many request and answer bytes as it may. Try again later."

var bodyTooLarge = fmt.Sprintf("Request body too large: wanted at most %d bytes (%d for states/provision).", maxBody, maxProvisionBody)

// errNoRoom is a request whose body or answer does not fit into the budget.
var errNoRoom = &flatError{status: http.StatusServiceUnavailable, text: noRoom, reason: refusedMemory}

// received judges a header before anything of the body is read; a refused request goes on to the handler without one.
func (s *Server) received(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	h.Del(refused)
	if why := s.judge(h); why != "" {
		h.Del("Expect") // no "100 Continue"
		h.SetContentLength(0)
		h.Set(refused, why)
		h.SetConnectionClose()
	}
	l := s.limits.Load()
	return fasthttp.RequestConfig{ReadTimeout: l.BodyTimeout, WriteTimeout: l.WriteTimeout}
}

func (s *Server) judge(h *fasthttp.RequestHeader) string {
	if p := string(h.Protocol()); p != "HTTP/1.1" && p != "HTTP/1.0" {
		return "version"
	}
	length := h.ContentLength()
	chunked := length == -1
	if chunked && headed(h, "content-length") || !chunked && headed(h, "transfer-encoding") {
		return "framing"
	}
	if length == 0 || length == -2 {
		return ""
	}
	if coding := h.ContentEncoding(); len(coding) > 0 && !strings.EqualFold(string(coding), "identity") {
		return "coding"
	}
	if chunked || length <= freeBytes {
		return ""
	}
	if length > most(h) {
		return "size"
	}
	if !s.gate.budget.room(int64(length)) {
		return "room"
	}
	return ""
}

// headed reports whether a header field was sent, whatever fasthttp made of it.
func headed(h *fasthttp.RequestHeader, name string) bool {
	for line := range bytes.Lines(h.RawHeaders()) {
		if len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(string(line[:len(name)]), name) {
			return true
		}
	}
	return false
}

// most is how large the body of a request may be at all.
func most(h *fasthttp.RequestHeader) int {
	if h.IsPut() && provisions(string(h.RequestURI())) {
		return maxProvisionBody
	}
	return maxBody
}

// bodyLimit is how large the body of this request may be: only who may sign in may send a large configdrive. Passwords
// tried so count as tries.
func (r *request) bodyLimit() int {
	h := &r.ctx.Request.Header
	limit := most(h)
	length := h.ContentLength()
	if limit == maxBody || r.s.auth == nil || length >= 0 && length <= maxBody {
		return limit
	}
	if user, password, err := credentials(string(h.Peek("Authorization"))); err == nil {
		if ok, _ := r.s.auth.from(remote(r.ctx), user, password); ok {
			return limit
		}
	}
	return maxBody
}

// provisions reports whether a request URI is a node's states/provision.
func provisions(uri string) bool {
	path, _, _ := strings.Cut(uri, "?")
	return strings.HasSuffix(strings.TrimSuffix(path, "/"), "/states/provision")
}

// readBody reads the body, piece by piece, and holds bytes of the budget as they come. An error is the answer; what the
// client still sends is then not read, and the connection is closed.
func (r *request) readBody() error {
	h := &r.ctx.Request.Header
	err := error(nil)
	if why := h.Peek(refused); len(why) > 0 {
		err = refusals[string(why)]
	} else if r.ctx.Request.IsBodyStream() {
		if limit := r.bodyLimit(); h.ContentLength() > limit {
			err = refusals["size"]
		} else if r.body, err = r.collect(r.ctx.RequestBodyStream(), r.body[:0], limit); err == nil {
			r.ctx.Request.SetBodyRaw(r.body)
		}
	}
	if err != nil {
		r.ctx.SetConnectionClose()
		if r.conn != nil {
			r.conn.rest.Store(true)
		}
	}
	return err
}

// collect reads to the end, at most limit bytes.
func (r *request) collect(in io.Reader, buf []byte, limit int) ([]byte, error) {
	if want := r.ctx.Request.Header.ContentLength(); want >= 0 && want < limit {
		limit = want
	}
	for {
		if len(buf) == cap(buf) {
			size := min(max(2*cap(buf), 4<<10), limit+1) // one more, to see that there is more
			if size <= len(buf) {
				size = len(buf) + 1
			}
			if size > freeBytes && !r.conn.hold(int64(size-max(cap(buf), freeBytes))) {
				return buf, errNoRoom
			}
			buf = append(make([]byte, 0, size), buf...)
		}
		n, err := in.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if len(buf) > limit {
			return buf, refusals["size"]
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, reading(err)
		}
	}
}

// checkBody refuses bodies that no parser should see, and holds what their parsed form will take.
func (r *request) checkBody() error {
	body := r.ctx.PostBody()
	if len(body) == 0 {
		return nil
	}
	if len(body) > most(&r.ctx.Request.Header) {
		return refusals["size"]
	}
	if bytes.HasPrefix(body, []byte("\xef\xbb\xbf")) || bytes.HasPrefix(body, []byte("\xff\xfe")) || bytes.HasPrefix(body, []byte("\xfe\xff")) {
		return badBody("it begins with a byte order mark: wanted JSON in UTF-8 without one")
	}
	if !utf8.Valid(body) || bytes.IndexByte(body, 0) >= 0 {
		return badBody("it is not UTF-8: wanted JSON in UTF-8")
	}
	depth, values := wire.Shape(body)
	switch {
	case depth > wire.MaxDepth:
		return badBody("it is nested too deeply: wanted at most %d levels", wire.MaxDepth)
	case values > maxValues:
		return badBody("it has %d values: wanted at most %d", values, maxValues)
	}
	if cost := int64(valueBytes) * int64(values); cost > freeBytes && !r.conn.hold(cost) {
		return errNoRoom
	}
	return nil
}

func badBody(format string, args ...any) error {
	return &flatError{status: http.StatusBadRequest, text: "Malformed JSON in request body: " + fmt.Sprintf(format, args...), reason: refusedJSON}
}

// holdAnswer takes the answer into the budget until the client has it. What was only read is refused if there is no
// room; what was done is told.
func (r *request) holdAnswer() {
	if r.conn == nil || r.ctx.Response.IsBodyStream() { // a stream is made as the client takes it
		return
	}
	n := int64(len(r.ctx.Response.Body())) - freeBytes
	if n <= 0 {
		return
	}
	if !r.ctx.IsGet() && !r.ctx.IsHead() {
		r.conn.mustHold(n)
		return
	}
	if !r.conn.hold(n) {
		r.fail(errNoRoom)
	}
}

// reading words why a request could not be read.
func reading(err error) *flatError {
	var small *fasthttp.ErrSmallBuffer
	var timeout net.Error
	var chunk fasthttp.ErrBrokenChunk
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		return refusals["size"]
	case errors.As(err, &small):
		return &flatError{http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("Request header too large: wanted at most %d bytes.", maxHeader), refusedHeader}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &flatError{http.StatusRequestTimeout, "The request took too long to arrive.", refusedSlow}
	case errors.Is(err, fasthttp.ErrDuplicateContentLength):
		return &flatError{http.StatusBadRequest, "The request has two Content-Length headers: wanted one.", refusedFraming}
	case errors.Is(err, fasthttp.ErrUnsupportedTransferEncoding):
		return &flatError{http.StatusBadRequest, "The request has a Transfer-Encoding that is not supported: wanted chunked, once, with HTTP/1.1.", refusedFraming}
	case errors.As(err, &chunk):
		return &flatError{http.StatusBadRequest, "The request body is badly chunked.", refusedMalformed}
	}
	return &flatError{http.StatusBadRequest, "The request could not be read.", refusedMalformed}
}

// unreadable answers requests that could not be read: too large, too slow, not HTTP.
func (s *Server) unreadable(ctx *fasthttp.RequestCtx, err error) {
	why := reading(err)
	s.refused.add(why.reason)
	ctx.Response.Reset()
	ctx.SetConnectionClose()
	ctx.SetStatusCode(why.status)
	ctx.Response.Header.SetContentType("application/json")
	ctx.Response.SetBody(wire.AppendFlat(nil, why.status, why.text))
	if c := ours(ctx.Conn()); c != nil {
		c.rest.Store(true)
	}
}
