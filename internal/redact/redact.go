// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Mask is what stands for a secret.
const Mask = "******"

// shortest is the length of a known secret that is looked for everywhere; shorter ones are parts of words.
const shortest = 4

// Redactor knows secrets.
type Redactor struct {
	secrets []string // as they are
	forms   []string // as they may be written, the longest first
}

// New returns a Redactor that knows these secrets. Empty ones are passed over.
func New(secrets ...string) *Redactor {
	r := &Redactor{}
	r.Add(secrets...)
	return r
}

// Add makes more secrets known.
func (r *Redactor) Add(secrets ...string) {
	for _, s := range secrets {
		s = strings.TrimSpace(s)
		if len(s) < shortest || s == Mask || s == "true" || s == "false" || slices.Contains(r.secrets, s) {
			continue
		}
		r.secrets = append(r.secrets, s)
		r.forms = append(r.forms, forms(s)...)
	}
	slices.SortFunc(r.forms, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	r.forms = slices.Compact(r.forms)
}

// forms are the ways to write a secret.
func forms(s string) []string {
	out := []string{s, url.QueryEscape(s), url.PathEscape(s), hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s)))}
	if b, err := json.Marshal(s); err == nil {
		out = append(out, string(b[1:len(b)-1]))
	}
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			if f := inner(enc, s, before); len(f) >= 2*shortest {
				out = append(out, f)
			}
		}
	}
	return out
}

// inner is the part of a base64 text that says the same whatever stands around the secret, when before bytes stand before
// it in its group of three.
func inner(enc *base64.Encoding, s string, before int) string {
	text := enc.EncodeToString([]byte(strings.Repeat("\x00", before) + s))
	skip := (8*before + 5) / 6
	whole := (before + len(s)) * 8 / 6 // digits that hold nothing of what follows
	if whole <= skip {
		return ""
	}
	return text[skip:whole]
}

// words after which secrets stand.
const words = `password|passwd|passphrase|secret|token|credential|private_?key|auth_key|priv_key|cluster_?key|hmac_?key|ipmi_hex_kg_key|community|cookie`

// rule finds secrets by where they stand.
type rule struct {
	pattern *regexp.Regexp
	to      string
}

// rules are applied in this order.
var rules = []rule{
	{regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)`), "-----PRIVATE KEY " + Mask + "-----"},
	{regexp.MustCompile(`(://)[^\s"'<>/@]*(?::[^\s"'<>@]*)?@`), "${1}" + Mask + "@"},
	{regexp.MustCompile(`(?i)\b((?:proxy-)?authorization"?\s*[:=]\s*"?)[^"\r\n]+`), "${1}" + Mask},
	{regexp.MustCompile(`(?i)\b(basic|bearer)\s+[A-Za-z0-9+/=._~-]{8,}`), "${1} " + Mask},
	{regexp.MustCompile(`(?i)([\w.-]*(?:` + words + `)[\w.-]*\\*["']?\s*[:=]\s*)(\\*"(?:[^"\\]|\\[\s\S])*"|'[^']*'|[^\s,;&}\])]+)`), "${1}" + Mask},
	{regexp.MustCompile(`(?i)(--?[\w-]*(?:` + words + `)[\w-]*[ \x00]+)("[^"]*"|'[^']*'|[^\s\x00]+)`), "${1}" + Mask},
	{regexp.MustCompile(`\$(?:2[abxy]?|apr1|argon2\w*|1|5|6|y)\$[./A-Za-z0-9$=,+]{8,}`), Mask},
	{regexp.MustCompile(`\{(?:SHA|SSHA|SHA256|SHA512)\}[A-Za-z0-9+/=]+`), Mask},
	{regexp.MustCompile(`\beyJ[\w-]+\.[\w-]+\.[\w-]*`), Mask},
	{regexp.MustCompile(`(^|[^A-Za-z0-9+/])[A-Za-z0-9+/]{43}=`), "${1}" + Mask},
}

// Text takes secrets out of a text.
func (r *Redactor) Text(text string) string {
	for _, f := range r.forms {
		text = strings.ReplaceAll(text, f, Mask)
	}
	for _, rule := range rules {
		text = rule.pattern.ReplaceAllString(text, rule.to)
	}
	return text
}

// Holds reports whether a known secret is in a text, in any form.
func (r *Redactor) Holds(text string) bool {
	return slices.ContainsFunc(r.forms, func(f string) bool { return strings.Contains(text, f) })
}

var (
	wordy    = regexp.MustCompile(`(?i)(?:` + words + `)s?$`) // a name: token, but not token_timeout
	userinfo = regexp.MustCompile(`://[^\s"'<>@]*@`)
)

// Learn makes known what is secret in a command line, an environment ("NAME=value") or the values of settings: what
// follows a flag or name like password, and passwords in URLs.
func (r *Redactor) Learn(args []string) {
	for i, a := range args {
		name, value, ok := strings.Cut(a, "=")
		switch {
		case !wordy.MatchString(name):
		case ok:
			r.Add(value)
		case strings.HasPrefix(name, "-") && i+1 < len(args):
			r.Add(args[i+1])
		}
		for _, u := range userinfo.FindAllString(a, -1) {
			u = strings.TrimSuffix(strings.TrimPrefix(u, "://"), "@")
			_, password, ok := strings.Cut(u, ":")
			if !ok {
				password = u // a token
			}
			r.Add(password)
			if plain, err := url.PathUnescape(password); err == nil {
				r.Add(plain)
			}
		}
	}
}
