// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"time"
)

// VerbRelease is the intent of a release by force: it has taken the place of the operation that it ends (S13). A Ferrite
// that does not know the verb leaves it alone.
const VerbRelease = "release"

// Released is the operation that a release by force ends, as it was found.
type Released struct {
	ID      string
	Verb    string
	Phase   string
	Class   Class
	Owner   Owner // who held it
	Since   time.Time
	By      string // who asked for it
	Request string // id of that request
}

// release takes the open operation away from whoever holds it, a living owner and ourselves included (S13): the claim, with
// which no permit of the operation can be made or renewed any more, is committed first; its effect waits until those that
// were made have ended, and released closes the operation. The claim is an intent of its own and says all that is needed
// for that: whoever finds it after a crash goes on with it, and nobody has to ask again. A quarantine is lifted.
func (s *step) release(m Release) (Decision, error) {
	n, i := s.n, s.n.Intent
	switch {
	case i == nil && n.Quarantined == "":
		return Decision{}, refuse("Release", n, Conflict, "node %s has no operation under way and is not quarantined: nothing to release", n.UUID)
	case i != nil && i.Released != nil && s.mine(i.Owner) && n.Quarantined == "":
		return Decision{}, refuse("Release", n, Conflict, "node %s is being released for %s already, since %s: it ends by itself", n.UUID, by(i.By), i.Since.UTC().Format(time.RFC3339))
	case m.Op != "" && (i == nil || i.ID != m.Op && (i.Released == nil || i.Released.ID != m.Op)):
		return Decision{}, refuse("Release", n, Conflict, "operation %s of node %s has ended by itself: nothing was released, read the node", m.Op, n.UUID)
	}
	from := n.Owner
	n.Owner = Owner{Name: s.env.Self.Name, Incarnation: s.env.Self.Incarnation, Epoch: n.Owner.Epoch + 1}
	if was := n.Quarantined; was != "" {
		n.Quarantined = ""
		s.history("conductor", fmt.Sprintf("quarantine was lifted by force by %s; its cause was: %s", by(s.env.Meta.By), was), false)
	}
	if i == nil {
		return s.commit()
	}
	if i.Released == nil { // a release that another conductor began ends the same operation
		i.Released = &Released{ID: i.ID, Verb: i.Verb, Phase: i.Phase, Class: i.Class, Owner: i.Owner, Since: i.Since, By: i.By, Request: i.Request}
	}
	s.history("conductor", fmt.Sprintf("operation %q (phase %q) is taken from conductor %s by force by %s; it ends when no command of it can be on its way",
		i.Released.Verb, i.Released.Phase, from.Name, by(s.env.Meta.By)), false)
	c := *i // what the operation was about stays: its end tells of it
	c.Verb, c.Renewed = VerbRelease, 0
	s.open(c, holdOff(s.env.Policy, "hold"))
	s.d.Wait = true
	return s.commit()
}

// holdOff waits until every permit of before the claim has ended, whoever had it (S11).
func holdOff(p Policy, phase string) Effect {
	return Effect{Kind: HoldOff, Phase: phase, Class: Repeat, Hold: p.Valid + p.Valid/10}
}

// released ends the operation with an error, once no command of it can be sent any more.
func (s *step) released() (Decision, error) {
	n, was := s.n, s.n.Intent.Released
	s.env.Meta = Meta{By: n.Intent.By, RequestID: was.Request} // its end is told with its beginning
	i := *n.Intent
	i.ID, i.Verb, i.Phase, i.Class = was.ID, was.Verb, was.Phase, was.Class
	i.Since, i.By, i.Request, i.Released = was.Since, was.By, was.Request, nil
	n.Intent = &i
	text := fmt.Sprintf("operation %q (phase %q) was released by force by %s", i.Verb, i.Phase, by(s.env.Meta.By))
	if i.Class == Once {
		text += "; its outcome is unknown and it is not sent again" // S12
	}
	if i.Verb == VerbPower {
		s.powerChanged(Done{}) // it may have been sent
		s.powerFailed(i.Target, text)
		return s.commit()
	}
	if fsm[n.ProvisionState].Stuck && !aboutBMC(i.Verb) {
		return s.failFlow("", "%s", text)
	}
	n.Intent = nil
	s.fail("conductor", "%s", text)
	return s.commit()
}
