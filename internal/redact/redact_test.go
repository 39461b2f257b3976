// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
	"testing"
)

// TestKnown: a known secret is found in whatever form it is written, and at any place of base64.
func TestKnown(t *testing.T) {
	const secret = `pa"ss/wörd+1`
	r := New(secret, "", "abc")
	if len(r.secrets) != 1 {
		t.Fatalf("knows %q: wanted one, not the empty and the short one", r.secrets)
	}
	texts := []string{secret, url.QueryEscape(secret), url.PathEscape(secret), hex.EncodeToString([]byte(secret)), `pa\"ss/wörd+1`}
	for before := range 7 {
		for after := range 4 {
			long := strings.Repeat("x", before) + secret + strings.Repeat("y", after)
			texts = append(texts, base64.StdEncoding.EncodeToString([]byte(long)), base64.URLEncoding.EncodeToString([]byte(long)))
		}
	}
	for _, text := range texts {
		in := "before " + text + " after"
		if !r.Holds(in) {
			t.Errorf("%q: not seen", in)
		}
		if out := r.Text(in); r.Holds(out) || !strings.HasPrefix(out, "before ") || !strings.HasSuffix(out, " after") || !strings.Contains(out, Mask) {
			t.Errorf("%q became %q", in, out)
		}
	}
}

// TestPlaces: secrets that nobody told of are found by where they stand, and what stands beside them is left.
func TestPlaces(t *testing.T) {
	r := New()
	const key = "q2x3Yk9mZ0hWb1R5c0x2N3d4UnQ1cDhBYzZFZkcxSGk="
	for in, want := range map[string]string{
		`nats://u:hush@host:4222`:                                                 `nats://******@host:4222`,
		`nats://hush@host`:                                                        `nats://******@host`,
		`nats://u:hu/sh@host`:                                                     `nats://******@host`,
		`{"ipmi_password":"hush","ipmi_address":"10.0"}`:                          `{"ipmi_password":******,"ipmi_address":"10.0"}`,
		`{"ipmi_password": "hu\"sh", "a": 1}`:                                     `{"ipmi_password": ******, "a": 1}`,
		`msg=x ipmi_password=hush node=n1`:                                        `msg=x ipmi_password=****** node=n1`,
		`FERRITE_NOVA_PASSWORD=hush`:                                              `FERRITE_NOVA_PASSWORD=******`,
		`serve --nova-password hush --name c1`:                                    `serve --nova-password ****** --name c1`,
		`serve --nova-password 'hu sh' --name c1`:                                 `serve --nova-password ****** --name c1`,
		`X-Auth-Token: hush`:                                                      `X-Auth-Token: ******`,
		`Authorization: Basic aHVzaDpodXNo`:                                       `Authorization: ******`,
		`got Bearer aHVzaDpodXNo from x`:                                          `got Bearer ****** from x`,
		"admin:$2y$05$" + strings.Repeat("hush.", 10) + "x":                       "admin:******",
		"key " + key + " end":                                                     "key ****** end",
		"-----BEGIN EC PRIVATE KEY-----\nhush\n-----END EC PRIVATE KEY-----\nend": "-----PRIVATE KEY ******-----\nend",
		"-----BEGIN PRIVATE KEY-----\nhush":                                       "-----PRIVATE KEY ******-----",
		`nothing here: 12 nodes, power on`:                                        `nothing here: 12 nodes, power on`,
		`conductor_notify_outbox{a="b"} 12`:                                       `conductor_notify_outbox{a="b"} 12`,
		`http://127.0.0.1:6385/v1/nodes`:                                          `http://127.0.0.1:6385/v1/nodes`,
	} {
		if got := r.Text(in); got != want {
			t.Errorf("%q became %q, wanted %q", in, got, want)
		}
	}
	nested := `{"body":"{\"ipmi_password\":\"hush\",\"x\":1}","after":"kept"}`
	if got := r.Text(nested); strings.Contains(got, "hush") {
		t.Errorf("%q became %q", nested, got)
	}
}

func TestLearn(t *testing.T) {
	r := New()
	r.Learn([]string{"ferrite", "serve", "--nova-password", "hush-1", "--api-password=hush-2", "FERRITE_NOVA_PASSWORD=hush-3", "--nats-url", "nats://u:hush%2F4@h,nats://hush-5@h", "--password-file", "kept.txt", "vnc.token_timeout=kept", "X_TOKEN=true", "--name", "kept"})
	for _, s := range []string{"hush-1", "hush-2", "hush-3", "hush/4", "hush%2F4", "hush-5"} {
		if !r.Holds("x" + s + "x") {
			t.Errorf("%s was not learnt", s)
		}
	}
	if r.Holds("kept.txt kept serve true") {
		t.Errorf("learnt too much: %q", r.secrets)
	}
}

func FuzzText(f *testing.F) {
	f.Add("x hush-hush y", "hush-hush")
	f.Fuzz(func(t *testing.T, text, secret string) {
		r := New(secret)
		if out := r.Text(text); !strings.Contains(Mask, strings.TrimSpace(secret)) && r.Holds(out) && !r.Holds(Mask+Mask) {
			t.Errorf("%q without %q is %q", text, secret, out)
		}
	})
}
