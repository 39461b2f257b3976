// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package hostrange

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// block is a set of names that differ in their numbers only: every choice of one number from each place is in it.
type block struct {
	texts  []string   // around the numbers: one more than there are
	places [][]string // the numbers of each place, as they are written
}

// Fold writes names as few ranges as it finds, in natural order (r2 before r10). Expanding the result gives the same set
// of names, unless a name holds brackets, commas or blanks, which no host's does; an empty name is left out.
func Fold(names []string) string {
	blocks := map[string][]block{} // by texts
	var order []string
	for _, name := range unique(names) {
		b := cutName(name)
		key := strings.Join(b.texts, "[") // in no name
		if blocks[key] == nil {
			order = append(order, key)
		}
		blocks[key] = append(blocks[key], b)
	}
	var all []block
	for _, key := range order {
		all = append(all, mergeAll(blocks[key])...)
	}
	slices.SortFunc(all, func(a, b block) int { return natural(a.first(), b.first()) })
	var out []string
	for _, b := range all {
		out = append(out, b.String())
	}
	return strings.Join(out, ",")
}

func unique(names []string) []string {
	out := slices.DeleteFunc(slices.Clone(names), func(s string) bool { return s == "" })
	slices.SortFunc(out, natural)
	return slices.Compact(out)
}

// cutName parts a name into text and numbers. Digits too many for a number are text.
func cutName(name string) block {
	var b block
	text := 0 // where the text before the next number begins
	for i := 0; i < len(name); {
		if !digit(name[i]) {
			i++
			continue
		}
		end := i
		for end < len(name) && digit(name[end]) {
			end++
		}
		if end-i <= maxDigits {
			b.texts, b.places = append(b.texts, name[text:i]), append(b.places, []string{name[i:end]})
			text = end
		}
		i = end
	}
	b.texts = append(b.texts, name[text:])
	return b
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// mergeAll joins blocks of the same texts place by place, the last place first.
func mergeAll(blocks []block) []block {
	for place := len(blocks[0].places) - 1; place >= 0; place-- {
		blocks = merge(blocks, place)
	}
	return blocks
}

// merge joins the blocks that differ at one place only.
func merge(blocks []block, place int) []block {
	at := map[string]int{} // index in out by what the other places hold
	var out []block
	for _, b := range blocks {
		var key strings.Builder
		for i, p := range b.places {
			if i != place {
				key.WriteString(strings.Join(p, ","))
			}
			key.WriteByte('/')
		}
		if i, ok := at[key.String()]; ok {
			out[i].places[place] = append(out[i].places[place], b.places[place]...)
			continue
		}
		at[key.String()] = len(out)
		out = append(out, b)
	}
	return out
}

// first is the name of the block's first numbers.
func (b block) first() string {
	var s strings.Builder
	for i, p := range b.places {
		s.WriteString(b.texts[i] + p[0])
	}
	return s.String() + b.texts[len(b.texts)-1]
}

// String writes the block as a host range.
func (b block) String() string {
	var s strings.Builder
	for i, p := range b.places {
		s.WriteString(b.texts[i])
		if len(p) == 1 {
			s.WriteString(p[0])
			continue
		}
		s.WriteString("[" + ranges(p) + "]")
	}
	return s.String() + b.texts[len(b.texts)-1]
}

// ranges writes numbers as 01-40,42. A range goes on as long as the next number, written as wide as the first, is there.
func ranges(numbers []string) string {
	left := map[string]bool{}
	for _, s := range numbers {
		left[s] = true
	}
	slices.SortFunc(numbers, natural)
	var out []string
	for _, lo := range numbers {
		if !left[lo] {
			continue
		}
		delete(left, lo)
		hi := lo
		for {
			n, _ := strconv.ParseInt(hi, 10, 64) // up to maxDigits digits
			next := padded(n+1, len(lo))
			if !left[next] {
				break
			}
			delete(left, next)
			hi = next
		}
		if hi != lo {
			lo += "-" + hi
		}
		out = append(out, lo)
	}
	return strings.Join(out, ",")
}

// natural orders names with their numbers by value; equal values by width, so that no two names are equal.
func natural(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		if !digit(x[0]) || !digit(y[0]) {
			if x[0] != y[0] {
				return cmp.Compare(x[0], y[0])
			}
			x, y = x[1:], y[1:]
			continue
		}
		m, n := run(x), run(y)
		p, q := strings.TrimLeft(x[:m], "0"), strings.TrimLeft(y[:n], "0")
		if c := cmp.Or(cmp.Compare(len(p), len(q)), cmp.Compare(p, q)); c != 0 {
			return c
		}
		x, y = x[m:], y[n:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// run is how many digits s begins with.
func run(s string) int {
	return len(s) - len(strings.TrimLeft(s, "0123456789"))
}
