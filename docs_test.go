// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ferrite_test

import (
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// invariants is the page that numbers them.
const invariants = "docs/ARCHITECTURE.md"

// TestDocuments: links lead somewhere, and what code cites is written down.
func TestDocuments(t *testing.T) {
	tree := os.DirFS(".")
	links, err := deadLinks(tree)
	if err != nil {
		t.Fatal(err)
	}
	cited, err := unknownRules(tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range append(links, cited...) {
		t.Error(w)
	}
}

// TestEveryPackageIsInTheDocuments: a package that is there is in the table of ARCHITECTURE.md.
func TestEveryPackageIsInTheDocuments(t *testing.T) {
	packages, _, err := parse(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(invariants)
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range slices.Sorted(maps.Keys(packages)) {
		if pkg != "" && !strings.Contains(string(page), "](../"+pkg+")") {
			t.Errorf("%s does not link to package %s", invariants, pkg)
		}
	}
}

func TestPlantedDocuments(t *testing.T) {
	tree := fstest.MapFS{
		invariants: {Data: []byte("[a](../a.go#L3) [adr](adr/) [web](https://x.example/y) [anchor](#here) [gone](gone.md)\n" +
			"`[code](nowhere)`\n```\n[block](nowhere)\n```\n| S1 | one |\n| N2 | two |\n")},
		"docs/adr/1.md":    {Data: []byte("[up](../ARCHITECTURE.md), [out](../../../etc)")},
		"testdata/note.md": {Data: []byte("[gone](gone.md)")},
		"a.go":             {Data: []byte("// a is S1, (N2) and S3.\npackage a // but IPV6, S100 and XS4 are no rules\nvar R3 = \"R2\"\n")},
	}
	links, err := deadLinks(tree)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"docs/ARCHITECTURE.md: links to gone.md, which is not there", "docs/adr/1.md: links to ../../../etc, which is not there"}; !slices.Equal(links, want) {
		t.Errorf("got  %q\nwant %q", links, want)
	}
	cited, err := unknownRules(tree)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a.go: cites S3, which docs/ARCHITECTURE.md does not have"}; !slices.Equal(cited, want) {
		t.Errorf("got  %q\nwant %q", cited, want)
	}
}

var (
	link  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	block = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	rule  = regexp.MustCompile(`\b[SRLNP][1-9][0-9]?\b`)
	row   = regexp.MustCompile(`(?m)^\| ([SRLNP][1-9][0-9]?) \|`)
)

// eachFile gives every file with an extension, outside testdata and hidden folders.
func eachFile(tree fs.FS, ext string, fn func(name, text string)) error {
	return fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ext:
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		fn(name, string(text))
		return err
	})
}

// deadLinks finds relative links of Markdown pages that lead nowhere.
func deadLinks(tree fs.FS) (wrong []string, err error) {
	err = eachFile(tree, ".md", func(name, text string) {
		for _, m := range link.FindAllStringSubmatch(block.ReplaceAllString(text, ""), -1) {
			u, err := url.Parse(m[1])
			if err == nil && (u.Scheme != "" || u.Path == "") {
				continue // elsewhere, or on this page
			}
			if err == nil {
				_, err = fs.Stat(tree, path.Join(path.Dir(name), u.Path))
			}
			if err != nil {
				wrong = append(wrong, name+": links to "+m[1]+", which is not there")
			}
		}
	})
	return wrong, err
}

// unknownRules finds numbers that comments cite and the page of invariants does not have.
func unknownRules(tree fs.FS) (wrong []string, err error) {
	page, err := fs.ReadFile(tree, invariants)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		known[m[1]] = true
	}
	err = eachFile(tree, ".go", func(name, text string) {
		for line := range strings.Lines(text) {
			_, comment, _ := strings.Cut(line, "// ")
			for _, number := range rule.FindAllString(comment, -1) {
				if !known[number] {
					wrong = append(wrong, name+": cites "+number+", which "+invariants+" does not have")
				}
			}
		}
	})
	return wrong, err
}
