// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"ferrite/conductor"
	"ferrite/internal/redact"
)

// maxPart is the size of a part of a bundle in bytes; the end of a longer one is kept.
const maxPart = 4 << 20

func newSupportBundle() *cobra.Command {
	a := &apiFlags{}
	o := supportOptions{}
	c := &cobra.Command{
		Use: "support-bundle FILE.tar.gz", Short: "Collect what is needed to look into a problem, without secrets", Args: wantArgs("FILE.tar.gz"),
		Long: `Collect in one file what somebody needs who looks into a problem: what "ferrite doctor" finds, the settings in effect, metrics,
versions, counts of nodes, the end of the log and its audit lines, goroutines (with pprof_listen), a check of the store.

Passwords, keys, hashes and tokens are taken out: those that are known from settings, environment, command lines and files,
wherever and however they are written, and whatever stands where secrets stand. Names and addresses of nodes stay in. Before
FILE is written every part is searched once more; if a secret is left in one, no file is written. Look into it all the same
before you give it away: a log line can hold anything.

It changes nothing, like doctor, and works with the conductor running and stopped. FILE has mode 0600.`,
		Example: "  ferrite support-bundle ferrite-support.tar.gz --config /etc/ferrite/ferrite.yaml --data-dir /var/lib/ferrite\n" +
			"  ferrite support-bundle s.tar.gz --data-dir ferrite-data --log-file ferrite.log\n" +
			"  tar xzOf ferrite-support.tar.gz --wildcards '*/doctor.txt'",
		RunE: func(c *cobra.Command, args []string) error { return supportBundle(c, args[0], a, o) },
	}
	addSettings(c)
	hideSettings(c)
	doctorFlags(c, a)
	f := c.Flags()
	f.BoolVar(&o.force, "force", false, "replace FILE if it is there")
	f.StringVar(&o.logFile, "log-file", "", "the conductor's log (default: systemd's journal of ferrite.service)")
	f.IntVar(&o.logLines, "log-lines", 5000, "how many of its last lines")
	f.BoolVar(&o.quiet, "no-probe", false, "write no file to time the disk, and send nothing to BMCs")
	f.BoolVar(&o.noVerify, "no-verify", false, "leave out the check of the store, which reads all of it")
	return c
}

type supportOptions struct {
	force, quiet, noVerify bool
	logFile                string
	logLines               int
}

// part is one file of a bundle; make returns its text, or why there is none.
type part struct {
	name string
	what string
	make func() (string, error)
}

func supportBundle(c *cobra.Command, file string, a *apiFlags, o supportOptions) error {
	if o.logLines < 1 {
		return usageError{fmt.Errorf("--log-lines is %d: wanted 1 or more", o.logLines)}
	}
	if _, err := os.Lstat(file); err == nil && !o.force {
		return fmt.Errorf("%s is there already: name another file, or say --force to replace it", file)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b := &bundle{options: o, out: c.ErrOrStderr()}
	step, finish := stages(c.ErrOrStderr())
	step("doctor", 0, 13) // about
	var err error
	if b.e, err = examine(c, a, !o.quiet); err != nil {
		finish()
		return err
	}
	b.redactor = b.e.known
	all := b.parts()
	for i, p := range all {
		step(p.name, i+1, len(all)+1)
		b.collect(p)
	}
	finish()
	if err := c.Context().Err(); err != nil {
		return fmt.Errorf("no bundle was written: %w", err)
	}
	if err := b.write(file); err != nil {
		return fmt.Errorf("no bundle was written: %w", err)
	}
	b.tell(c.OutOrStdout(), file)
	return nil
}

// bundle is what was collected.
type bundle struct {
	e        *examination
	redactor *redact.Redactor
	options  supportOptions
	out      io.Writer
	logged   []string // the end of the log, already read
	logErr   error
	files    []bundled
}

// bundled is a part as it will be written.
type bundled struct {
	name, what string
	text       string
	missing    string // why there is none, "" = there is
}

func (b *bundle) collect(p part) {
	f := bundled{name: p.name, what: p.what}
	text, err := p.make()
	if err != nil {
		f.missing = b.redactor.Text(plain(err.Error()))
	} else {
		f.text = keepEnd(b.redactor.Text(text), maxPart)
	}
	b.files = append(b.files, f)
}

// keepEnd is the end of a text in whole lines, with a word about what is missing.
func keepEnd(text string, most int) string {
	if len(text) <= most {
		return text
	}
	end := text[len(text)-most:]
	if _, rest, ok := strings.Cut(end, "\n"); ok {
		end = rest
	}
	return fmt.Sprintf("[the first %d bytes are left out]\n%s", len(text)-len(end), end)
}

// write makes the file, 0600, whole or not at all.
func (b *bundle) write(file string) (err error) {
	for _, f := range b.files { // look before it is given away (L3)
		if b.redactor.Holds(f.text) || b.redactor.Holds(f.missing) {
			return fmt.Errorf("%s still holds a secret after masking: this is a bug, please report it", f.name)
		}
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".part-") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close()
			_ = os.Remove(tmp.Name())
		}
	}()
	if err := b.pack(tmp, time.Now().UTC().Truncate(time.Second)); err != nil {
		return err
	}
	if err := errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return err
	}
	return conductor.SyncFolder(filepath.Dir(file))
}

func (b *bundle) pack(w io.Writer, at time.Time) error {
	zipped := gzip.NewWriter(w)
	t := tar.NewWriter(zipped)
	folder := "ferrite-support-" + at.Format("20060102-150405") + "/"
	for _, f := range append([]bundled{{name: "CONTENTS.txt", text: b.contents(at)}}, b.files...) {
		if f.missing != "" {
			continue
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: folder + f.name, Mode: 0o600, Size: int64(len(f.text)), ModTime: at}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.WriteString(t, f.text); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), zipped.Close())
}

// contents is what is in the bundle and what is not, and why.
func (b *bundle) contents(at time.Time) string {
	var out bytes.Buffer
	fmt.Fprintf(&out, "ferrite support-bundle of %s, ferrite %s. Secrets are replaced by %s.\n\n", at.Format(time.RFC3339), version, redact.Mask)
	for _, f := range b.files {
		if f.missing != "" {
			fmt.Fprintf(&out, "%-16s not there: %s\n", f.name, f.missing)
		} else {
			fmt.Fprintf(&out, "%-16s %8d bytes  %s\n", f.name, len(f.text), f.what)
		}
	}
	return out.String()
}

// tell says what is in the file and what is not.
func (b *bundle) tell(w io.Writer, file string) {
	size := int64(0)
	if info, err := os.Stat(file); err == nil {
		size = info.Size()
	}
	colour := paletteFor(w)
	fmt.Fprintf(w, "%s: %d bytes, without secrets; look into it before you give it away\n", file, size)
	for _, f := range b.files {
		if f.missing != "" {
			fmt.Fprintf(w, "  %-16s %s\n", f.name, colour.paint(yellow, "left out: "+f.missing))
		} else {
			fmt.Fprintf(w, "  %-16s %8d bytes  %s\n", f.name, len(f.text), f.what)
		}
	}
}

// stages shows on a terminal which part is being collected, and nothing elsewhere.
func stages(w io.Writer) (step func(name string, done, of int), finish func()) {
	if _, _, ok := terminal(w); !ok {
		return func(string, int, int) {}, func() {}
	}
	now := ""
	p := bars(w, 40, 80*time.Millisecond)
	names := make(chan string, 1)
	bar := p.AddBar(0, mpb.PrependDecorators(decor.Any(func(decor.Statistics) string {
		select {
		case now = <-names:
		default:
		}
		return fmt.Sprintf("collecting %-16s ", now)
	})), mpb.AppendDecorators(decor.CountersNoUnit("%d of %d")))
	return func(name string, done, of int) {
			select {
			case <-names:
			default:
			}
			names <- name
			bar.SetTotal(int64(of), false)
			bar.SetCurrent(int64(done))
		}, func() {
			bar.SetTotal(-1, true)
			p.Wait()
		}
}
