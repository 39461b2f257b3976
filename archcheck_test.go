// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ferrite_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

const (
	module = "ferrite"
	header = "// Copyright 2026 The Ferrite Authors\n// SPDX-License-Identifier: Apache-2.0\n\n"
)

// source is one parsed Go file.
type source struct {
	name string // path from the root
	test bool
	set  *token.FileSet
	ast  *ast.File
}

// check holds a tree of Go files against the house and returns what is wrong, one line each, sorted. Build tags are
// passed over: a file for another system must keep the rules too.
func check(tree fs.FS) ([]string, error) {
	packages, wrong, err := parse(tree)
	if err != nil {
		return nil, err
	}
	for pkg, files := range packages {
		wrong = append(wrong, checkPackage(pkg, files)...)
		for _, f := range files {
			if !f.test {
				wrong = append(wrong, checkImports(pkg, f)...)
				wrong = append(wrong, checkPurity(pkg, f)...)
			}
		}
	}
	slices.Sort(wrong)
	return wrong, nil
}

// parse reads all Go files outside testdata and hidden folders, by folder. Files without the header are told of here,
// where their text is at hand.
func parse(tree fs.FS) (packages map[string][]source, wrong []string, err error) {
	packages = map[string][]source{}
	err = fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() {
			if name != "." && (base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(string(text), header) {
			wrong = append(wrong, name+": wanted the two lines of copyright and license first, then an empty line")
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder := strings.TrimPrefix(path.Dir(name), ".")
		packages[folder] = append(packages[folder], source{name, strings.HasSuffix(name, "_test.go"), set, file})
		return nil
	})
	return packages, wrong, err
}

// checkPackage wants a row in the map and a package comment.
func checkPackage(pkg string, files []source) []string {
	var wrong []string
	if _, ok := house[pkg]; !ok && !internal(pkg) {
		wrong = append(wrong, fmt.Sprintf("%s: has no row in the house (archmap_test.go): decide where it stands", pkg))
	}
	for _, f := range files {
		lead := "Package " + f.ast.Name.Name + " "
		if f.ast.Name.Name == "main" {
			lead = "Command " + path.Base(pkg) + " "
		}
		if !f.test && strings.HasPrefix(f.ast.Doc.Text(), lead) {
			return wrong
		}
	}
	return append(wrong, fmt.Sprintf("%s: has no package comment: wanted a doc.go that begins with \"Package ...\"", pkg))
}

// checkImports holds one file's imports against the house and the fences.
func checkImports(pkg string, f source) []string {
	var wrong []string
	say := func(s *ast.ImportSpec, format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("%s: %s", f.set.Position(s.Pos()), fmt.Sprintf(format, args...)))
	}
	for _, s := range f.ast.Imports {
		imported, _ := strconv.Unquote(s.Path.Value)
		for _, fence := range fences {
			if within(imported, fence.module) && !slices.Contains(fence.only, pkg) {
				say(s, "%s is for %s alone: %s", fence.module, strings.Join(fence.only, ", "), fence.why)
			}
		}
		ours, ok := strings.CutPrefix(imported, module+"/")
		switch {
		case !ok || internal(ours) && !internal(pkg):
		case internal(pkg):
			say(s, "%s imports %s: internal packages import nothing of ours", pkg, ours)
		case !slices.Contains(house[pkg].may, ours):
			say(s, "%s may not import %s: %s", pkg, ours, house[pkg].why)
		}
	}
	return wrong
}

// checkPurity keeps IO, clocks and chance out of the rules.
func checkPurity(pkg string, f source) []string {
	if !slices.Contains(purity.packages, pkg) {
		return nil
	}
	var wrong []string
	say := func(pos token.Pos, what string) {
		wrong = append(wrong, fmt.Sprintf("%s: %s: %s", f.set.Position(pos), what, purity.why))
	}
	clock := "" // the name that the file gives to package time
	for _, s := range f.ast.Imports {
		imported, _ := strconv.Unquote(s.Path.Value)
		if !within(imported, module) && !slices.Contains(purity.stdlib, imported) {
			say(s.Pos(), fmt.Sprintf("%s may not import %s", pkg, imported))
		}
		if imported == "time" {
			clock = "time"
			if s.Name != nil {
				clock = s.Name.Name
			}
		}
		if s.Name != nil && s.Name.Name == "." {
			say(s.Pos(), "a dot import hides where names come from")
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if ok && clock != "" && x.Name == clock && slices.Contains(purity.time, n.Sel.Name) {
				say(n.Pos(), "time."+n.Sel.Name)
			}
		case *ast.GoStmt:
			say(n.Pos(), "go statement")
		}
		return true
	})
	return wrong
}

// within reports whether an import path is a module's or lies below it.
func within(imported, module string) bool {
	return imported == module || strings.HasPrefix(imported, module+"/")
}

// internal packages may be imported by anybody and import nothing of ours.
func internal(pkg string) bool { return within(pkg, "internal") }

// checkHouse holds the map against itself: every import points down, or to the package that this one lies in.
func checkHouse(house map[string]place) []string {
	var wrong []string
	for _, pkg := range slices.Sorted(maps.Keys(house)) {
		p := house[pkg]
		if p.why == "" {
			wrong = append(wrong, pkg+": no reason")
		}
		for _, to := range p.may {
			target, ok := house[to]
			switch {
			case !ok:
				wrong = append(wrong, fmt.Sprintf("%s -> %s: has no row", pkg, to))
			case target.layer > p.layer:
				wrong = append(wrong, fmt.Sprintf("%s -> %s: points up", pkg, to))
			case target.layer == p.layer && !within(pkg, to) && p.layer > 0:
				wrong = append(wrong, fmt.Sprintf("%s -> %s: peers do not import each other", pkg, to))
			}
		}
	}
	return wrong
}
