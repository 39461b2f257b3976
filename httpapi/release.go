// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"ferrite/httpapi/wire"
	"ferrite/node"
)

// held is what keeps a node from being used, as the release tells it.
type held struct {
	Node        string     `json:"node_uuid"`
	Name        *string    `json:"node_name"`
	Operation   string     `json:"operation,omitempty"` // id
	Verb        string     `json:"verb,omitempty"`
	Phase       string     `json:"phase,omitempty"`
	Target      string     `json:"target,omitempty"`
	Owner       string     `json:"conductor,omitempty"`
	Since       *time.Time `json:"since,omitempty"`
	By          string     `json:"requested_by,omitempty"`
	Request     string     `json:"request_id,omitempty"`
	Quarantined string     `json:"quarantined,omitempty"` // why, "" = it was not
}

func heldBy(n *node.Node) held {
	h := held{Node: n.UUID, Quarantined: n.Quarantined}
	if n.Name != "" {
		h.Name = &n.Name
	}
	if i := n.Intent; i != nil {
		h.Operation, h.Verb, h.Phase, h.Target = i.ID, i.Verb, i.Phase, string(i.Target)
		h.Owner, h.Since, h.By, h.Request = i.Owner.Name, &i.Since, i.By, i.Request
		if was := i.Released; was != nil { // a release under way: what it ends
			h.Operation, h.Verb, h.Phase, h.Owner, h.Since, h.By, h.Request = was.ID, was.Verb, was.Phase, was.Owner.Name, &was.Since, was.By, was.Request
		}
	}
	return h
}

// String says it in a sentence.
func (h held) String() string {
	s := ""
	if h.Operation != "" {
		s = fmt.Sprintf("operation %q%s (phase %q, id %s), asked by %s, under way on conductor %s since %s", h.Verb, target(h.Target), h.Phase, h.Operation,
			cmp.Or(h.By, "nobody by name"), h.Owner, h.Since.UTC().Format(time.RFC3339))
	}
	if h.Quarantined != "" {
		if s != "" {
			s += "; and "
		}
		s += "the quarantine because of: " + h.Quarantined
	}
	return s
}

func target(t string) string {
	if t == "" {
		return ""
	}
	return " to " + t
}

// releaseNode is POST /v1/x/nodes/{node}/release with {"force": true} (S13). Without force it is refused, and the refusal
// says what would be dropped. The node's actor of this conductor claims it over whoever owns it and waits until no permit is
// left, which takes as long as one may live; the request then answers what was released. A request that gets no answer need
// not be repeated: what has begun is ended by whoever looks after the node.
func releaseNode(r *request) error {
	args, err := r.arguments("force")
	if err != nil {
		return err
	}
	n, err := r.theNode()
	if err != nil {
		return err
	}
	h := heldBy(n)
	if h.String() == "" {
		return refuse(node.Conflict, "Node %s has no operation under way and is not quarantined: there is nothing to release.", n.UUID)
	}
	force := false
	if v, ok := args["force"]; ok {
		if force, err = wire.ParseBool("force", v); err != nil {
			return err
		}
	}
	if !force {
		return invalid("Releasing node %s by force would end %s. Nothing says what the machine does then. It was not released: say force (--force) to do so.", n.UUID, h)
	}
	r.tell("action", "release", "op", h.Operation, "verb", h.Verb, "phase", h.Phase, "target", h.Target, "owner", h.Owner, "quarantined", h.Quarantined)
	if _, err := r.do(n.UUID, node.Release{Op: h.Operation}); err != nil {
		r.tell("result", err.Error())
		return err
	}
	r.tell("result", "released")
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	r.json(http.StatusOK, append(r.buffer(), b...))
	return nil
}
