// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parse checks a text against its option and brings it to its plain form.
func (o Option) parse(text, source string) (value, error) {
	v := value{text: strings.TrimSpace(text), source: source}
	var want string // "" = the text is good
	switch o.Kind {
	case Duration:
		v.text, want = o.duration(v.text)
	case Int:
		v.text, want = o.int(v.text)
	case Bool:
		b, ok := boolean(v.text)
		if !ok {
			want = "true or false"
		}
		v.text = strconv.FormatBool(b)
	case Enum:
		if !slices.Contains(o.Allowed, v.text) {
			want = "one of " + words(o.Allowed)
		}
	case List:
		for part := range strings.SplitSeq(v.text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				v.list = append(v.list, part)
			}
		}
		v.text = strings.Join(v.list, ",")
	case String:
	}
	if want != "" {
		return value{}, fmt.Errorf("%s: %s is %q: wanted %s", source, o.Key, text, want)
	}
	return v, nil
}

func (o Option) duration(text string) (plain, want string) {
	d, err := duration(text)
	if err != nil {
		return "", "a duration like 2s, 500ms or plain seconds"
	}
	if least, _ := duration(o.Min); o.Min != "" && d < least {
		return "", "at least " + o.Min
	}
	return d.String(), ""
}

func (o Option) int(text string) (plain, want string) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return "", "a whole number"
	}
	if least, _ := strconv.Atoi(o.Min); o.Min != "" && n < least {
		return "", "at least " + o.Min
	}
	return strconv.Itoa(n), ""
}

// words lists what is allowed; the empty word has to be seen.
func words(allowed []string) string {
	out := slices.Clone(allowed)
	if i := slices.Index(out, ""); i >= 0 {
		out[i] = `"" (none)`
	}
	return strings.Join(out, ", ")
}

var errRange = errors.New("out of range")

// duration takes Go's form or plain seconds. Empty is an error: a variable set to nothing must not switch anything off.
func duration(s string) (time.Duration, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return time.ParseDuration(s)
	}
	if ns := f * float64(time.Second); math.Abs(ns) < math.MaxInt64 { // false for NaN
		return time.Duration(ns), nil
	}
	return 0, errRange
}

// boolean takes Ironic's words for true and false.
func boolean(s string) (is, ok bool) {
	switch strings.ToLower(s) {
	case "1", "t", "true", "on", "y", "yes":
		return true, true
	case "0", "f", "false", "off", "n", "no":
		return false, true
	}
	return false, false
}
