// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package nova

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// early is how long before its end a token is replaced.
const early = time.Minute

// token is what Keystone gave, and where its catalogue says that Nova is.
type token struct {
	key      string
	ends     time.Time
	endpoint string
}

// names are the parts of a Keystone request.
type (
	named struct {
		Name   string `json:"name"`
		Domain any    `json:"domain,omitempty"`
	}
	user struct {
		named
		Password string `json:"password"`
	}
	passwordAuth struct {
		Methods  []string `json:"methods"`
		Password struct {
			User user `json:"user"`
		} `json:"password"`
	}
	authRequest struct {
		Auth struct {
			Identity passwordAuth `json:"identity"`
			Scope    struct {
				Project named `json:"project"`
			} `json:"scope"`
		} `json:"auth"`
	}
	authAnswer struct {
		Token struct {
			ExpiresAt time.Time `json:"expires_at"`
			Catalog   []struct {
				Type      string `json:"type"`
				Endpoints []struct {
					Interface string `json:"interface"`
					Region    string `json:"region"`
					RegionID  string `json:"region_id"`
					URL       string `json:"url"`
				} `json:"endpoints"`
			} `json:"catalog"`
		} `json:"token"`
	}
)

// sign returns a token that still holds, and Nova's address.
func (c *Caller) sign(ctx context.Context) (key, endpoint string, err error) {
	if c.cfg.Auth == None {
		return "", c.cfg.Endpoint, nil
	}
	if c.key.key == "" || time.Until(c.key.ends) < early {
		if c.key, err = c.authenticate(ctx); err != nil {
			return "", "", err
		}
	}
	return c.key.key, c.key.endpoint, nil
}

// authenticate asks Keystone for a token of the project (API v3, method password).
func (c *Caller) authenticate(ctx context.Context) (token, error) {
	domain := func(name string) any { return map[string]string{"name": cmp.Or(name, "Default")} }
	var q authRequest
	q.Auth.Identity.Methods = []string{"password"}
	q.Auth.Identity.Password.User = user{named{c.cfg.User, domain(c.cfg.UserDomain)}, c.cfg.Password}
	q.Auth.Scope.Project = named{c.cfg.Project, domain(c.cfg.ProjectDomain)}
	base := strings.TrimRight(c.cfg.AuthURL, "/")
	if !strings.HasSuffix(base, "/v3") {
		base += "/v3"
	}
	answer, err := c.post(ctx, base+"/auth/tokens", nil, q)
	if err != nil {
		return token{}, err
	}
	switch code := answer.status; {
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= http.StatusInternalServerError:
		return token{}, answer.errorf("Keystone failed")
	case code >= http.StatusMultipleChoices:
		return token{}, &refusal{answer.errorf("Keystone refused user %s of project %s", c.cfg.User, c.cfg.Project).Error()}
	}
	t := token{key: answer.header.Get("X-Subject-Token"), endpoint: c.cfg.Endpoint}
	var a authAnswer
	if err := json.Unmarshal(answer.body, &a); err != nil || t.key == "" {
		return token{}, fmt.Errorf("Keystone's answer is not what was wanted, a token: %w", cmp.Or(err, fmt.Errorf("header X-Subject-Token is %q", t.key)))
	}
	t.ends = a.Token.ExpiresAt
	if t.endpoint == "" {
		if t.endpoint = c.cfg.pick(a); t.endpoint == "" {
			return token{}, &refusal{fmt.Sprintf("Keystone's catalogue has no endpoint of type compute for interfaces %v in region %q: set nova.endpoint_override, nova.region_name or nova.valid_interfaces", c.cfg.interfaces(), c.cfg.Region)}
		}
	}
	return t, nil
}

func (c Config) interfaces() []string {
	if len(c.Interfaces) > 0 {
		return c.Interfaces
	}
	return []string{"internal", "public"}
}

// pick finds Nova in a catalogue: the first interface that has an endpoint in the region.
func (c Config) pick(a authAnswer) string {
	for _, want := range c.interfaces() {
		for _, s := range a.Token.Catalog {
			if s.Type != "compute" {
				continue
			}
			for _, e := range s.Endpoints {
				if e.Interface == want && (c.Region == "" || c.Region == e.Region || c.Region == e.RegionID) {
					return e.URL
				}
			}
		}
	}
	return ""
}
