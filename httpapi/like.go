// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"strings"
	"unicode/utf8"
)

// like is the condition "LIKE %pattern%" of SQL, as the databases under Ironic judge it: upper and lower case are the
// same, % stands for any text and _ for any one character. It takes time in proportion to pattern times text at worst.
func like(pattern string) func(text string) bool {
	parts := strings.Split(strings.ToLower(pattern), "%") // what must follow one another, with anything between
	return func(text string) bool {
		text = strings.ToLower(text)
		for _, part := range parts {
			end := find(text, part)
			if end < 0 {
				return false
			}
			text = text[end:]
		}
		return true
	}
}

// find gives where the first place in text that part fits ends, -1 = nowhere.
func find(text, part string) int {
	if !strings.Contains(part, "_") {
		if i := strings.Index(text, part); i >= 0 {
			return i + len(part)
		}
		return -1
	}
	for at := range text {
		if end := fit(text[at:], part); end >= 0 {
			return at + end
		}
	}
	return -1
}

// fit gives where part ends if text begins with it, -1 = it does not.
func fit(text, part string) int {
	end := 0
	for _, want := range part {
		got, size := utf8.DecodeRuneInString(text[end:])
		if size == 0 || want != '_' && want != got {
			return -1
		}
		end += size
	}
	return end
}
