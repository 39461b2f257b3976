// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"ferrite/httpapi/wire"
	"ferrite/node"
)

// Claimer takes a node from its living owner (S13): it commits a claim with which no permit of that owner can be made or
// renewed, and returns when those that were made have ended, with the node as it is then; nil = it was deleted. A Hardware
// that is no Claimer has no permits to wait for.
type Claimer interface {
	Claim(ctx context.Context, nodeUUID string) (*node.Node, error)
}

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
// says what would be dropped. It takes as long as a permit may live; the request then answers what was released.
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
	if err := r.release(n, h); err != nil {
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

// release claims, waits and ends the operation, if it is still the one that the caller was told of.
func (r *request) release(n *node.Node, h held) error {
	if c, ok := r.s.cfg.Hardware.(Claimer); ok && n.Intent != nil {
		ctx, cancel := context.WithTimeout(context.Background(), r.s.cfg.CommandWait)
		defer cancel()
		now, err := c.Claim(ctx, n.UUID)
		switch {
		case err != nil:
			return fmt.Errorf("claiming node %s: %w", n.UUID, err)
		case now == nil:
			return refuse(node.NotFound, "Node %s was deleted while it was released.", n.UUID)
		case now.Quarantined == "" && (now.Intent == nil || now.Intent.ID != h.Operation):
			return refuse(node.Conflict, "Operation %q of node %s ended by itself while it was released: read the node.", h.Verb, n.UUID)
		}
	}
	_, err := r.do(n.UUID, node.Release{})
	var e *node.Error
	if errors.As(err, &e) && e.Kind == node.Conflict {
		return refuse(node.Conflict, "What held node %s ended by itself while it was released: read the node.", n.UUID)
	}
	return err
}
