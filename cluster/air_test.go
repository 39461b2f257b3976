// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
)

// sky is members that gossip through an Air in a bubble: memberlist is the real one, the time is not. What each of them made
// of it is held against the rules of a View at every step.
type sky struct {
	t       *testing.T
	air     *Air
	profile string
	seeds   []string // what --join names
	at      map[string]*Membership
	inc     uint64
	key     []byte
	label   string
	first   map[string]seen // the View of each that was looked at before, and what was in it
}

type seen struct {
	v    *View
	text string
}

// bears is how long a member may be silent and no other may take it for dead: a probe, and the shortest suspicion.
func bears(p Profile) time.Duration { return p.ProbeInterval * time.Duration(1+p.SuspicionMult) }

// notices is after how long a silent member must be gone from the Views of so many: two rounds of probes, each prolonged by what
// the prober thinks of its own health, and the longest suspicion.
func notices(p Profile, members int) time.Duration {
	return p.ProbeInterval*time.Duration(4*members+p.SuspicionMult*p.SuspicionMost) + time.Second
}

// heals is after how long members that reach each other again must have found each other.
const heals = 2*rejoinEvery + 5*time.Second

// under runs a test in a bubble, with each of these profiles.
func under(t *testing.T, members int, profiles string, run func(s *sky, p Profile)) {
	for _, name := range strings.Fields(profiles) {
		p := Profiles[name]
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ending(t)
				s := &sky{t: t, air: NewAir(), profile: name, at: map[string]*Membership{}, label: "test", first: map[string]seen{}}
				for i := range members {
					s.seeds = append(s.seeds, s.addr(fmt.Sprintf("c%d", i+1)))
				}
				for i := range members {
					s.start(fmt.Sprintf("c%d", i+1))
				}
				s.settled("at first")
				run(s, p)
			})
		})
	}
}

// ending gives memberlist's goroutines the time to end: a bubble has none once its function has returned.
func ending(t *testing.T) { t.Cleanup(func() { time.Sleep(time.Minute) }) }

func (s *sky) addr(name string) string { return "10.0.0." + strings.TrimPrefix(name, "c") + ":7946" }

func (s *sky) join(name, listen string) (*Membership, error) {
	s.inc++
	m, err := Join(Config{
		Member: Member{Name: name, Incarnation: s.inc*7919 + 1, API: "http://" + name}, Listen: listen, Peers: s.seeds,
		Profile: s.profile, Keys: keysOf(s.key), Label: s.label, Air: s.air, Logger: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		s.t.Cleanup(func() { _ = m.Close() })
	}
	return m, err
}

func (s *sky) start(name string) {
	s.t.Helper()
	m, err := s.join(name, s.addr(name))
	if err != nil {
		s.t.Fatal(err)
	}
	s.is(name, m)
}

// is makes a member the one of a name; what was seen of the one before says nothing of it.
func (s *sky) is(name string, m *Membership) {
	delete(s.first, name)
	s.at[name] = m
}

func (s *sky) kill(name string) {
	_ = s.at[name].Close()
	delete(s.at, name)
}

func (s *sky) names() (out []string) {
	for name := range s.at {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// cut parts two members, or lets them meet again.
func (s *sky) cut(a, b string, yes bool) {
	s.air.Cut(s.addr(a), s.addr(b), yes)
	s.air.Cut(s.addr(b), s.addr(a), yes)
}

// part cuts some members off from the others, or ends that.
func (s *sky) part(some []string, yes bool) {
	for _, a := range some {
		for name := range s.at {
			if !slices.Contains(some, name) {
				s.cut(a, name, yes)
			}
		}
	}
}

func text(v *View) string { return fmt.Sprintf("%d %+v", v.Seq, v.Members) }

func memberNames(v *View) (out []string) {
	for _, m := range v.Members {
		out = append(out, m.Name)
	}
	return out
}

// check holds every View against the rules: none changes once it is made, later ones have higher numbers, names are stable and
// single, each member sees itself as it is, and who sees the same members places every node alike.
func (s *sky) check() {
	s.t.Helper()
	news := false
	for name, m := range s.at {
		news = news || s.first[name].v != m.View()
	}
	if !news {
		return
	}
	owner := map[string]string{}
	for name, m := range s.at {
		v := m.View()
		if old := s.first[name]; old.v != nil {
			if text(old.v) != old.text {
				s.t.Fatalf("a View of %s has changed: it was %s and is %s", name, old.text, text(old.v))
			}
			if old.v != v && v.Seq <= old.v.Seq {
				s.t.Fatalf("%s went from View %d to View %d", name, old.v.Seq, v.Seq)
			}
		}
		s.first[name] = seen{v, text(v)}
		if got := memberNames(v); !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			s.t.Fatalf("%s sees %v", name, got)
		}
		if x, ok := v.Find(name); !ok || x.Incarnation != m.Self().Incarnation || x.Gossip != m.Addr() {
			s.t.Fatalf("%s does not see itself: %s", name, text(v))
		}
		all := fmt.Sprintf("%+v", v.Members)
		for i := range 5 {
			x, _ := v.Owner(fmt.Sprint("node ", i), "")
			key := fmt.Sprint(i, all)
			if owner[key] == "" {
				owner[key] = x.Name
			}
			if owner[key] != x.Name {
				s.t.Fatalf("of %v some place node %d with %s, %s with %s", memberNames(v), i, owner[key], name, x.Name)
			}
		}
	}
}

// pass lets time pass, and looks at the Views meanwhile; each is what must hold besides, nil = nothing.
func (s *sky) pass(d time.Duration, each func()) {
	s.t.Helper()
	const step = 100 * time.Millisecond
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(min(step, time.Until(end)))
		synctest.Wait()
		s.check()
		if each != nil {
			each()
		}
	}
}

// sees reports whether a member's View has these and nobody else.
func (s *sky) sees(name string, others ...string) bool {
	return slices.Equal(memberNames(s.at[name].View()), others)
}

// until lets time pass until a condition holds, and returns how much did.
func (s *sky) until(what string, most time.Duration, ok func() bool) time.Duration {
	s.t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > most {
			var all []string
			for _, name := range s.names() {
				all = append(all, fmt.Sprintf("%s sees %v", name, memberNames(s.at[name].View())))
			}
			s.t.Fatalf("not within %s: %s; %s", most, what, strings.Join(all, ", "))
		}
		s.pass(10*time.Millisecond, nil)
	}
	return time.Since(began)
}

// settled waits until all see all, each in its present life.
func (s *sky) settled(when string) {
	s.t.Helper()
	s.until("all see all "+when, heals+notices(Profiles[s.profile], len(s.at)), func() bool {
		for name := range s.at {
			if !s.sees(name, s.names()...) {
				return false
			}
			for other, m := range s.at {
				if !s.at[name].View().Lives(other, m.Self().Incarnation) {
					return false
				}
			}
		}
		return true
	})
}

// rest lets pass what may be left of the past: no suspicion lasts as long, and a refutation that somebody has not heard is made up
// for.
func (s *sky) rest(when string) {
	s.t.Helper()
	s.pass(notices(Profiles[s.profile], len(s.at)), nil)
	s.settled(when)
}

// stays fails if somebody besides misses any of the members meanwhile.
func (s *sky) stays(what string, besides ...string) func() {
	all := s.names()
	return func() {
		for name := range s.at {
			if !slices.Contains(besides, name) && !s.sees(name, all...) {
				s.t.Fatalf("%s: %s sees %v", what, name, memberNames(s.at[name].View()))
			}
		}
	}
}

// A dead member is missed by all, not sooner than the profile bears silence and not later than it allows; one that says good-bye
// is missed at once. Its name comes back as another process, at the same address or elsewhere.
func TestDeathLeaveAndReturn(t *testing.T) {
	under(t, 5, "fast mid lan", func(s *sky, p Profile) {
		old := s.at["c2"].Self().Incarnation
		s.kill("c2")
		took := s.until("all miss c2", notices(p, 5), func() bool {
			return !slices.ContainsFunc(s.names(), func(name string) bool { return slices.Contains(memberNames(s.at[name].View()), "c2") })
		})
		if took < bears(p)-p.ProbeInterval { // a probe may have been under way
			s.t.Errorf("c2 was missed after %s, a silence of %s is to be borne", took, bears(p))
		}
		s.start("c2")
		s.settled("after the return of c2")
		if s.at["c1"].View().Lives("c2", old) {
			s.t.Error("the dead incarnation lives")
		}
		wait := make(chan error, 1)
		go func() { wait <- s.at["c3"].Leave(time.Second) }()
		synctest.Wait()
		gone := s.at["c3"]
		delete(s.at, "c3")
		took = s.until("all miss c3", bears(p), func() bool {
			return !slices.ContainsFunc(s.names(), func(name string) bool { return slices.Contains(memberNames(s.at[name].View()), "c3") })
		})
		if err := <-wait; err != nil || took >= bears(p) {
			s.t.Errorf("c3 left: %v, seen after %s", err, took)
		}
		_ = gone.Close()
		m, err := s.join("c3", "10.0.0.33:7946") // the same name on another host
		if err != nil {
			s.t.Fatal(err)
		}
		s.is("c3", m)
		s.settled("after c3 moved")
		if x, _ := s.at["c1"].View().Find("c3"); x.Gossip != "10.0.0.33:7946" {
			s.t.Errorf("c3 is seen at %s", x.Gossip)
		}
	})
}

// A restart that is quicker than its notice shows as the same name with another incarnation: the old one does not live.
func TestQuickRestartIsAnotherIncarnation(t *testing.T) {
	under(t, 3, "fast lan", func(s *sky, _ Profile) {
		old := s.at["c2"].Self().Incarnation
		s.kill("c2")
		s.start("c2")
		s.settled("after the restart")
		s.pass(20*time.Second, nil)
		s.settled("a while after the restart")
		for name, m := range s.at {
			if m.View().Lives("c2", old) {
				s.t.Errorf("%s takes the old c2 for alive", name)
			}
		}
	})
}

// A pause that the profile bears costs nobody a member. A longer one is a death, and who wakes is back in all Views, and all in
// its own.
func TestPauseAndResume(t *testing.T) {
	under(t, 5, "fast mid lan", func(s *sky, p Profile) {
		for _, name := range []string{"c1", "c5"} {
			s.air.Pause(s.addr(name), true)
			s.pass(bears(p)-p.ProbeInterval, s.stays("a short pause", name))
			s.air.Pause(s.addr(name), false)
			s.rest("after a short pause")
		}
		s.air.Pause(s.addr("c4"), true)
		s.until("all miss the paused one", notices(p, 5), func() bool {
			return s.sees("c1", "c1", "c2", "c3", "c5") && s.sees("c2", "c1", "c2", "c3", "c5") && s.sees("c3", "c1", "c2", "c3", "c5") && s.sees("c5", "c1", "c2", "c3", "c5")
		})
		s.pass(30*time.Second, nil)
		s.air.Pause(s.addr("c4"), false)
		s.settled("after a long pause")
	})
}

// Two sides of a cut each go on alone, and find each other when it is mended, however long it lasted.
func TestPartitionHeals(t *testing.T) {
	under(t, 5, "fast", func(s *sky, p Profile) {
		for _, d := range []time.Duration{0, 40 * time.Second} {
			s.part([]string{"c1", "c2"}, true)
			s.until("two sides", notices(p, 5), func() bool {
				return s.sees("c1", "c1", "c2") && s.sees("c2", "c1", "c2") && s.sees("c3", "c3", "c4", "c5") && s.sees("c4", "c3", "c4", "c5") && s.sees("c5", "c3", "c4", "c5")
			})
			s.pass(d, nil)
			s.part([]string{"c1", "c2"}, false)
			s.settled("after the cut")
		}
	})
}

// Two members that do not reach each other, in one direction or both, stay in all Views as long as a third reaches both. One that
// is heard by nobody, or hears nobody, is gone and comes back.
func TestAsymmetricReachability(t *testing.T) {
	under(t, 5, "fast", func(s *sky, p Profile) {
		s.air.Cut(s.addr("c1"), s.addr("c2"), true)
		s.pass(15*time.Second, s.stays("one direction is cut"))
		s.air.Cut(s.addr("c2"), s.addr("c1"), true)
		s.pass(15*time.Second, s.stays("both directions are cut"))
		s.cut("c1", "c2", false)
		for _, deaf := range []bool{true, false} {
			way := func(yes bool) {
				for _, other := range []string{"c1", "c2", "c4", "c5"} {
					if deaf {
						s.air.Cut(s.addr(other), s.addr("c3"), yes)
					} else {
						s.air.Cut(s.addr("c3"), s.addr(other), yes)
					}
				}
			}
			way(true)
			s.until(fmt.Sprintf("c3 is gone, deaf %t", deaf), notices(p, 5), func() bool { return s.sees("c1", "c1", "c2", "c4", "c5") })
			s.pass(10*time.Second, nil)
			way(false)
			s.settled("after one direction came back")
		}
	})
}

// A member whose links come and go quicker than the profile notices a death is missed by nobody. It may itself, which thinks ill
// of its own health, take longer to hear that others live; afterwards nothing is left of it.
func TestFlapping(t *testing.T) {
	under(t, 3, "fast mid", func(s *sky, p Profile) {
		for range 8 {
			s.part([]string{"c2"}, true)
			s.pass(bears(p)-p.ProbeInterval, s.stays("flapping", "c2"))
			s.part([]string{"c2"}, false)
			s.rest("after a cut")
		}
		seq := s.at["c1"].View().Seq
		s.pass(time.Minute, s.stays("calm"))
		if now := s.at["c1"].View().Seq; now != seq {
			s.t.Errorf("in a minute of calm the View of c1 went from %d to %d", seq, now)
		}
	})
}

// What a member says of itself reaches all, in at most 512 bytes, and what is too long is refused and changes nothing.
func TestWhatMembersSay(t *testing.T) {
	under(t, 3, "fast", func(s *sky, _ Profile) {
		m := s.at["c2"]
		say := func(x *Member) {
			x.Group, x.Version = strings.Repeat("g", 60), "1.2.3-rc.4+0123456789abcdef"
			x.API, x.Raft, x.Remote, x.NATS = "https://conductor-2.example.org:6385", "[2001:db8::aaaa:bbbb:cccc]:7947", "[2001:db8::aaaa:bbbb:cccc]:7948", "[2001:db8::aaaa:bbbb:cccc]:6222"
			x.Draining, x.Cordoned, x.Cut, x.Fresh, x.Joining, x.Expect, x.Cluster = true, true, true, true, true, 5, "01234567"
			x.Name, x.Incarnation = "another", 1 // not theirs to change
		}
		if err := m.Update(say); err != nil {
			s.t.Fatal(err)
		}
		want := m.Self()
		want.Gossip = m.Addr()
		if b := (*delegate)(m).NodeMeta(memberlist.MetaMaxSize); len(b) > memberlist.MetaMaxSize || want.Name != "c2" || want.Incarnation == 1 {
			s.t.Errorf("%d bytes: %s", len(b), b)
		}
		all := func() bool {
			for _, other := range s.at {
				if x, _ := other.View().Find("c2"); x != want {
					return false
				}
			}
			return true
		}
		s.until("all know what c2 says", 5*time.Second, all)
		if err := m.Update(func(x *Member) { x.Group = strings.Repeat("x", 400) }); err == nil || !strings.Contains(err.Error(), "512") {
			s.t.Errorf("more than gossip carries: %v", err)
		}
		s.pass(15*time.Second, nil)
		if !all() || m.Self().Group != want.Group {
			s.t.Errorf("what was refused is told nevertheless: %+v", m.Self())
		}
	})
}

// Who has another key or another label is nobody, to either side; another key is told of.
func TestStrangersAreNotSeen(t *testing.T) { // L4
	key := func(k string) []byte { return []byte(strings.Repeat(k, 32)) }
	synctest.Test(t, func(t *testing.T) {
		ending(t)
		var told syncBuffer
		air := NewAir()
		join := func(n int, key []byte, label string) *Membership {
			m, err := Join(Config{
				Member: Member{Name: fmt.Sprint("c", n), Incarnation: uint64(n)}, Listen: fmt.Sprintf("10.0.0.%d:7946", n), //nolint:gosec // small
				Peers: []string{"10.0.0.1:7946", "10.0.0.2:7946", "10.0.0.3:7946", "10.0.0.4:7946"}, Keys: keysOf(key), Label: label, Air: air, Logger: slog.New(slog.NewTextHandler(&told, nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = m.Close() })
			return m
		}
		c1, c2, c3, c4 := join(1, key("a"), "ferrite"), join(2, key("a"), "ferrite"), join(3, key("b"), "ferrite"), join(4, key("a"), "other")
		time.Sleep(time.Minute)
		for m, want := range map[*Membership][]string{c1: {"c1", "c2"}, c2: {"c1", "c2"}, c3: {"c3"}, c4: {"c4"}} {
			if got := memberNames(m.View()); !slices.Equal(got, want) {
				t.Errorf("%s sees %v, wanted %v", m.Self().Name, got, want)
			}
		}
		if !strings.Contains(told.String(), "another cluster key") {
			t.Error("nobody told of another key")
		}
	})
}

// A second living conductor of a name is told so and displaces nobody; when the first is dead the name is the second's.
func TestATakenNameIsTold(t *testing.T) {
	under(t, 3, "fast", func(s *sky, p Profile) {
		first := s.at["c2"].Self().Incarnation
		second, err := s.join("c2", "10.0.0.22:7946")
		if err != nil {
			s.t.Fatal(err)
		}
		var at string
		s.pass(15*time.Second, func() {
			select {
			case at = <-second.Taken():
			default:
			}
			for _, name := range []string{"c1", "c3"} {
				if !s.at[name].View().Lives("c2", first) {
					s.t.Fatalf("%s has lost the first c2", name)
				}
			}
		})
		if at != s.addr("c2") {
			s.t.Errorf("the second c2 was told of %q, wanted %s", at, s.addr("c2"))
		}
		s.kill("c2")
		s.is("c2", second)
		s.pass(notices(p, 3), nil)
		s.settled("with the second c2")
	})
}

// Whatever happens to whom, Views keep their rules, nobody who was well the whole time is missed by another who was, and in the
// end all that live are seen by all (S7: what a View is taken for is the conductor's).
func TestWhateverTheGossipGoesThrough(t *testing.T) {
	for seed := range uint64(gossipWalks) {
		rng := rand.New(rand.NewPCG(seed, 3))
		under(t, 5, "fast mid", func(s *sky, p Profile) {
			well := map[string]time.Time{}   // from when on a member is well
			missed := map[string]time.Time{} // since when one misses another
			trouble := func(names ...string) {
				for _, name := range names {
					well[name] = time.Now().Add(heals + notices(p, 5))
				}
			}
			held := func() { // what somebody in trouble says of another may be believed for a moment
				for a, m := range s.at {
					for b, other := range s.at {
						pair, now := a+" "+b, time.Now()
						if now.Before(well[a]) || now.Before(well[b]) || m.View().Lives(b, other.Self().Incarnation) {
							delete(missed, pair)
						} else if since, ok := missed[pair]; !ok {
							missed[pair] = now
						} else if now.Sub(since) > heals {
							s.t.Fatalf("%s and %s are well, and the one has not seen the other for %s: %s", a, b, now.Sub(since), text(m.View()))
						}
					}
				}
			}
			for range gossipSteps {
				who := fmt.Sprintf("c%d", 1+rng.IntN(5))
				m := s.at[who]
				d := time.Duration(rng.Int64N(int64(3 * bears(p))))
				switch rng.IntN(6) {
				case 0:
					trouble(who)
					if m == nil {
						s.start(who)
					} else {
						s.kill(who)
					}
				case 1:
					trouble(who)
					s.air.Pause(s.addr(who), true)
					s.pass(d, held)
					s.air.Pause(s.addr(who), false)
					trouble(who)
				case 2:
					side := s.names()
					side = side[:rng.IntN(len(side)+1)]
					trouble(s.names()...)
					s.part(side, true)
					s.pass(d, held)
					s.part(side, false)
					trouble(s.names()...)
				case 3:
					other := fmt.Sprintf("c%d", 1+rng.IntN(5))
					trouble(who, other)
					s.air.Cut(s.addr(who), s.addr(other), true)
					s.pass(d, held)
					s.air.Cut(s.addr(who), s.addr(other), false)
				case 4:
					if m != nil {
						delete(s.at, who)
						_ = m.Leave(time.Second)
						trouble(who)
					}
				case 5:
					if m != nil {
						_ = m.SetDraining(!m.Self().Draining)
					}
				}
				s.pass(d, held)
			}
			for i := range 5 {
				if name := fmt.Sprintf("c%d", i+1); s.at[name] == nil {
					s.start(name)
				}
			}
			s.settled("in the end")
			for name, m := range s.at {
				want := m.Self()
				want.Gossip = m.Addr()
				for other, x := range s.at {
					if got, _ := x.View().Find(name); !reflect.DeepEqual(got, want) {
						s.t.Errorf("%s says %+v of itself, %s sees %+v", name, want, other, got)
					}
				}
			}
		})
	}
}

// syncBuffer is what several write to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
