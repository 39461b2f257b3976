// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"net/http"
	"strconv"

	"ferrite/node"
)

// AppendFault appends error form A: {"error_message": "{...}"}, a string that contains JSON. Handled errors have it.
func AppendFault(b []byte, status int, text string) []byte {
	inner := append(make([]byte, 0, 96+len(text)), "{\"faultcode\": \""...)
	inner = append(append(inner, faultCode(status)...), "\", \"faultstring\": "...)
	inner = append(AppendString(inner, text), ", \"debuginfo\": null}"...)
	b = append(b, "{\"error_message\": "...)
	return append(AppendString(b, inner), '}')
}

// AppendRouting appends error form B: routing errors such as unknown paths, wrong methods and versions out of range.
func AppendRouting(b []byte, status int, text string) []byte {
	inner := append(make([]byte, 0, 96+len(text)), "{\"code\": "...)
	inner = strconv.AppendInt(inner, int64(status), 10)
	inner = AppendString(append(inner, ", \"title\": "...), http.StatusText(status))
	inner = append(AppendString(append(inner, ", \"description\": "...), text), '}')
	b = append(b, "{\"error_message\": "...)
	return append(AppendString(b, inner), '}')
}

// AppendAuth appends error form C: what http_basic answers.
func AppendAuth(b []byte, status int, text string) []byte {
	b = AppendString(append(b, "{\"error\": {\"message\": "...), text)
	b = strconv.AppendInt(append(b, ", \"code\": "...), int64(status), 10)
	return append(b, "}}"...)
}

// AppendFlat appends error form D: limits of the body.
func AppendFlat(b []byte, status int, text string) []byte {
	b = append(append(b, "{\"faultcode\": \""...), faultCode(status)...)
	return append(AppendString(append(b, "\", \"faultstring\": "...), text), '}')
}

func faultCode(status int) string {
	if status >= 500 {
		return "Server"
	}
	return "Client"
}

// invalid is a refusal of kind Invalid: 400.
func invalid(format string, args ...any) error {
	return &node.Error{Op: "request", Kind: node.Invalid, Text: fmt.Sprintf(format, args...)}
}

// notAcceptable is a refusal because of the microversion: 406.
func notAcceptable(what string, since int) error {
	return &node.Error{Op: "request", Kind: node.NotAcceptable, Text: fmt.Sprintf(
		"Request not acceptable. %s: the minimal required API version should be %s", what, VersionString(since))}
}
