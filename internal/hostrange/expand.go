// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package hostrange

import (
	"fmt"
	"strconv"
	"strings"
)

// maxDigits is how long a number in brackets may be; longer ones do not fit an int64.
const maxDigits = 18

// span is lo to hi, each width digits at least.
type span struct {
	lo, hi int64
	width  int
}

func (s span) size() int64 { return s.hi - s.lo + 1 }

// part is text, or in brackets what stands for it in turn.
type part struct {
	text  string
	spans []span
}

// Expand gives the names that expr stands for, in its order, each once. It refuses more than limit names, repeated ones
// counted.
func Expand(expr string, limit int) ([]string, error) {
	terms, err := split(expr)
	if err != nil {
		return nil, err
	}
	var parsed [][]part
	left := int64(limit)
	for _, t := range terms {
		parts, err := parse(t)
		if err != nil {
			return nil, err
		}
		n := count(parts, left)
		if n > left {
			return nil, fmt.Errorf("host range %q stands for more than %d names: wanted fewer, split it or raise the limit", clip(expr), limit)
		}
		left -= n
		parsed = append(parsed, parts)
	}
	var out []string
	seen := map[string]bool{}
	for _, parts := range parsed {
		each(parts, "", func(name string) {
			if !seen[name] {
				seen[name] = true
				out = append(out, name)
			}
		})
	}
	return out, nil
}

// split cuts an expression at the commas outside of brackets.
func split(expr string) ([]string, error) {
	var out []string
	depth, from := 0, 0
	for i := 0; i <= len(expr); i++ {
		switch {
		case i == len(expr) || expr[i] == ',' && depth == 0:
			term := strings.TrimSpace(expr[from:i])
			if term == "" {
				return nil, fmt.Errorf("host range %q: wanted a name, found nothing at character %d", clip(expr), from+1)
			}
			out, from = append(out, term), i+1
		case expr[i] == '[':
			depth++
		case expr[i] == ']':
			depth--
		}
		if depth < 0 || depth > 1 {
			return nil, fmt.Errorf("host range %q: a bracket at character %d has no partner", clip(expr), i+1)
		}
	}
	if depth != 0 {
		return nil, fmt.Errorf("host range %q: wanted ] after the last [", clip(expr))
	}
	return out, nil
}

// parse reads one name with its brackets, which split has found to be paired.
func parse(term string) ([]part, error) {
	if strings.ContainsAny(term, " \t\r\n") {
		return nil, fmt.Errorf("host range %q: wanted commas between names, found a blank", clip(term))
	}
	var out []part
	for rest := term; rest != ""; {
		text, after, found := strings.Cut(rest, "[")
		if text != "" {
			out = append(out, part{text: text})
		}
		if !found {
			break
		}
		inner, behind, _ := strings.Cut(after, "]")
		spans, err := parseSpans(inner)
		if err != nil {
			return nil, fmt.Errorf("host range %q: %w", clip(term), err)
		}
		out, rest = append(out, part{spans: spans}), behind
	}
	return out, nil
}

func parseSpans(inner string) ([]span, error) {
	var out []span
	for _, item := range strings.Split(inner, ",") {
		item = strings.TrimSpace(item)
		from, to, ranged := strings.Cut(item, "-")
		if !ranged {
			to = from
		}
		lo, err := number(from)
		if err != nil {
			return nil, err
		}
		hi, err := number(to)
		switch {
		case err != nil:
			return nil, err
		case hi < lo:
			return nil, fmt.Errorf("[%s] runs backwards: wanted %s-%s", clip(item), to, from)
		case len(to) < len(from), to[0] == '0' && len(to) != len(from):
			return nil, fmt.Errorf("[%s] has bounds of unlike width: wanted both with the same leading zeros", clip(item))
		}
		out = append(out, span{lo, hi, len(from)})
	}
	return out, nil
}

func number(s string) (int64, error) {
	if s == "" || len(s) > maxDigits || strings.Trim(s, "0123456789") != "" {
		return 0, fmt.Errorf("wanted a number of up to %d digits or a range like 01-40 in brackets, found %q", maxDigits, clip(s))
	}
	return strconv.ParseInt(s, 10, 64)
}

// count is how many names parts make, or a number above most.
func count(parts []part, most int64) int64 {
	n := int64(1)
	for _, p := range parts {
		if p.spans == nil {
			continue
		}
		var sum int64
		for _, s := range p.spans {
			if s.size() > most-sum {
				return most + 1
			}
			sum += s.size()
		}
		if n > most/sum { // n*sum > most; sum is 1 or more
			return most + 1
		}
		n *= sum
	}
	return n
}

// each calls fn with every name, the last bracket turning fastest.
func each(parts []part, before string, fn func(string)) {
	if len(parts) == 0 {
		fn(before)
		return
	}
	p := parts[0]
	if p.spans == nil {
		each(parts[1:], before+p.text, fn)
		return
	}
	for _, s := range p.spans {
		for i := s.lo; i <= s.hi; i++ {
			each(parts[1:], before+padded(i, s.width), fn)
		}
	}
}

func padded(i int64, width int) string {
	s := strconv.FormatInt(i, 10)
	if len(s) < width {
		s = strings.Repeat("0", width-len(s)) + s
	}
	return s
}

// clip keeps what is quoted in errors short.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
