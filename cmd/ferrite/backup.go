// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"ferrite/client"
	"ferrite/conductor"
	"ferrite/persistence"
)

func newBackup() *cobra.Command {
	a, force := &apiFlags{}, false
	c := &cobra.Command{
		Use: "backup FILE", Short: "Write a backup of a running conductor", Args: wantArgs("FILE"),
		Long: `Write a backup of a running conductor to FILE: nodes, ports, history, settings and notifications not yet sent, as they
were at one moment. The conductor goes on meanwhile. FILE appears only when it is whole, checked and on the disk.

Passwords in it are sealed with the cluster key, which is not in it. Keep the key too, and not in the same place: without
it the passwords in the backup are lost; with it they can be read.`,
		Example: "  ferrite backup ferrite-$(date +%F).backup\n" +
			"  ferrite backup --api https://conductor:6385 --user admin --password-file admin.pw /srv/backups/ferrite.backup",
		RunE: func(c *cobra.Command, args []string) error { return backup(c, args[0], a, force) },
	}
	bindAPI(c, a)
	c.Flags().BoolVar(&force, "force", false, "replace FILE if it is there")
	return c
}

// bindAPI adds the flags that say where the API is. --api has an older name, --api-url.
func bindAPI(c *cobra.Command, a *apiFlags) {
	c.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "api-url" {
			name = "api"
		}
		return pflag.NormalizedName(name)
	})
	a.bind(c.Flags())
	c.Long += apiEnvironment
}

// wantArgs wants exactly these arguments.
func wantArgs(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usageError{fmt.Errorf("wanted %s after \"%s\", found %d arguments (see \"%s --help\")", strings.Join(names, " "), c.CommandPath(), len(args), c.CommandPath())}
		}
		return nil
	}
}

func backup(c *cobra.Command, file string, a *apiFlags, force bool) (err error) {
	from, err := a.client(client.WithUserAgent("ferrite-backup"))
	if err != nil {
		return err
	}
	defer from.Close()
	if _, err := os.Lstat(file); err == nil && !force {
		return fmt.Errorf("%s is there already: name another file, or say --force to replace it", file)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
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
	report, err := fetch(c.Context(), from, tmp, c.ErrOrStderr())
	if err != nil {
		return fmt.Errorf("no backup was written: %w", err)
	}
	if err := report.Err(); err != nil {
		return fmt.Errorf("no backup was written, because what the conductor sent has %w", err)
	}
	size, err := tmp.Seek(0, io.SeekCurrent)
	if err == nil {
		err = errors.Join(tmp.Sync(), tmp.Close())
	}
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return err
	}
	if err := conductor.SyncFolder(filepath.Dir(file)); err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "%s: %s, revision %d, %d bytes\n", file, contents(report), report.Info.Rev, size)
	fmt.Fprintf(c.OutOrStdout(), "restoring it needs the cluster key with fingerprint %s, which is not in it\n", strings.Join(report.Info.Keys, " and "))
	return nil
}

// fetch writes the conductor's backup to w and checks it on its way.
func fetch(ctx context.Context, from *client.Client, w, bar io.Writer) (*persistence.Report, error) {
	pr, pw := io.Pipe()
	type result struct {
		report *persistence.Report
		err    error
	}
	checked := make(chan result, 1)
	step, finish := progress(bar, "backup")
	go func() {
		report, err := persistence.CheckBackup(pr, nil, step)
		_ = pr.CloseWithError(err)
		checked <- result{report, err}
	}()
	_, err := from.Backup(ctx, io.MultiWriter(w, pw))
	_ = pw.CloseWithError(err) // nil is the end
	check := <-checked
	finish()
	if err != nil && (check.err == nil || !errors.Is(err, check.err)) {
		return nil, err
	}
	return check.report, check.err
}

func newVerify() *cobra.Command {
	var keyFiles []string
	c := &cobra.Command{
		Use: "verify FILE|DATA_DIR", Short: "Check a backup or a data folder", Args: wantArgs("FILE or DATA_DIR"),
		Long: `Check a backup, or the data folder of a conductor that does not run: every checksum, that every record can be read, and
that records, unique names and addresses, log and snapshots agree. Each problem is told with its place; the exit code is
1 if there is any.

Nothing is changed and no socket is opened. A data folder is looked at in a copy in the temporary folder (TMPDIR).
With the cluster key the sealed passwords are opened too, and nothing is shown of them.`,
		Example: "  ferrite verify ferrite-2026-11-21.backup\n" +
			"  ferrite verify /var/lib/ferrite --cluster-key-file /var/lib/ferrite/cluster.key",
		RunE: func(c *cobra.Command, args []string) error { return verify(c, args[0], keyFiles) },
	}
	c.Flags().StringSliceVar(&keyFiles, "cluster-key-file", nil, "open the secrets with this key (may be repeated)")
	return c
}

func verify(c *cobra.Command, path string, keyFiles []string) error {
	keys, err := readKeys(keyFiles)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	step, finish := progress(c.ErrOrStderr(), "verify")
	var report *persistence.Report
	if info.IsDir() {
		report, err = persistence.CheckDir(path, keys, step)
	} else {
		report, err = verifyFile(path, keys, step)
	}
	finish()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	out := c.OutOrStdout()
	for _, p := range report.Problems {
		fmt.Fprintln(out, plain(p))
	}
	if n := len(report.Problems) + report.More; n > 0 {
		return fmt.Errorf("%s is not in order: %d problems%s", path, n, map[bool]string{true: ", of which the first are told"}[report.More > 0])
	}
	if info.IsDir() {
		fmt.Fprintf(out, "%s is in order: %s, revision %d, %d log entries\n", path, contents(report), report.Applied, report.Entries)
	} else {
		fmt.Fprintf(out, "%s is in order: %s, revision %d, format %d\n", path, contents(report), report.Applied, report.Info.Format)
	}
	switch {
	case report.Opened:
		fmt.Fprintf(out, "%d secrets, all opened with the key given\n", report.Secrets)
	case len(report.Info.Keys) > 0:
		fmt.Fprintf(out, "%d secrets, not opened: they need the cluster key with fingerprint %s\n", report.Secrets, strings.Join(report.Info.Keys, " and "))
	default:
		fmt.Fprintf(out, "%d secrets, not opened: no --cluster-key-file was given\n", report.Secrets)
	}
	return nil
}

func verifyFile(path string, keys [][]byte, step func(done, about int)) (*persistence.Report, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return persistence.CheckBackup(f, keys, step)
}

func newRestore() *cobra.Command {
	var dir, name string
	var keyFiles []string
	c := &cobra.Command{
		Use: "restore FILE --data-dir DIR --cluster-key-file FILE", Short: "Make a data folder of a backup", Args: wantArgs("FILE"),
		Long: `Make a data folder of a backup, for "ferrite serve" to run on. DIR must be empty, or not there: a restore never
overwrites. The backup is read through and checked before anything is written; a wrong key or a damaged file is refused
and leaves nothing behind.

Stop the conductor that the backup was taken of first: two that believe in the same machines would both command them.
All that happened after the backup is not known to the new conductor; it reads every machine's power and goes on from
there. Notifications of before are not told again. "docs/BACKUP.md" tells the rest.

A backup that was taken while the cluster key was being rotated may need both keys: repeat --cluster-key-file; the first
one is that of the new folder.`,
		Example: "  ferrite restore ferrite.backup --data-dir /var/lib/ferrite --cluster-key-file cluster.key",
		RunE:    func(c *cobra.Command, args []string) error { return restore(c, args[0], dir, name, keyFiles) },
	}
	f := c.Flags()
	f.StringVar(&dir, "data-dir", "", "folder to make (needed)")
	f.StringVar(&name, "name", "", "name of the conductor that will run on it (default: the host's name)")
	f.StringSliceVar(&keyFiles, "cluster-key-file", nil, "cluster key that the backup is sealed with (needed)")
	return c
}

func restore(c *cobra.Command, file, dir, name string, keyFiles []string) error {
	switch {
	case dir == "":
		return usageError{errors.New("--data-dir is missing: wanted the folder to restore into")}
	case len(keyFiles) == 0:
		return usageError{errors.New("--cluster-key-file is missing: wanted the cluster key that the backup is sealed with")}
	case name == "":
		name = conductor.Defaults().Name
	}
	keys, err := readKeys(keyFiles)
	if err != nil {
		return err
	}
	f, err := os.Open(file) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	defer f.Close()
	bars := [2]string{"checking", "restoring"}
	step, finish := progress(c.ErrOrStderr(), bars[0])
	at := 1
	out, err := conductor.Restore(f, dir, name, keys, slog.New(slog.DiscardHandler), func(round, done, about int) {
		if round != at {
			finish()
			at = round
			step, finish = progress(c.ErrOrStderr(), bars[1])
		}
		step(done, about)
	})
	finish()
	if err != nil {
		return fmt.Errorf("%s was not restored: %w%s", file, err, keptBeside(keyFiles, err))
	}
	w := c.OutOrStdout()
	fmt.Fprintf(w, "%s: restored %s of revision %d\n", dir, contents(&out.Report), out.Info.Rev)
	if out.Events > 0 {
		fmt.Fprintf(w, "%d notifications of before are not told again\n", out.Events)
	}
	fmt.Fprintf(w, "next: ferrite serve --data-dir %s --cluster-key-file %s --name %s\n", dir, keyFiles[0], name)
	return nil
}

// keptBeside names the file that a rotation has left the wanted key in, if there is one.
func keptBeside(keyFiles []string, err error) string {
	var wrong *persistence.WrongKey
	if !errors.As(err, &wrong) {
		return ""
	}
	for _, file := range keyFiles {
		for _, finger := range strings.Split(wrong.Want, " and ") {
			if old := file + ".old-" + finger; finger != "" {
				if _, err := os.Stat(old); err == nil {
					return fmt.Sprintf("; it is in %s: give that by --cluster-key-file", old)
				}
			}
		}
	}
	return ""
}

func readKeys(files []string) ([][]byte, error) {
	var keys [][]byte
	for _, file := range files {
		more, err := conductor.ReadKeys(file)
		if err != nil {
			return nil, err
		}
		keys = append(keys, more...)
	}
	return keys, nil
}

// contents counts what is in a backup or folder.
func contents(r *persistence.Report) string {
	parts := []string{fmt.Sprintf("%d nodes", r.Records["node"]), fmt.Sprintf("%d ports", r.Records["port"])}
	var rest []string
	for kind, n := range r.Records {
		if kind != "node" && kind != "port" {
			rest = append(rest, fmt.Sprintf("%d %s", n, kind))
		}
	}
	slices.Sort(rest)
	return strings.Join(append(parts, rest...), ", ")
}

// progress shows a bar on a terminal and nothing elsewhere. about may be too low; 0 = not known.
func progress(w io.Writer, what string) (step func(done, about int), finish func()) {
	if _, _, ok := terminal(w); !ok {
		return func(int, int) {}, func() {}
	}
	p := bars(w, 40, 80*time.Millisecond)
	bar := p.AddBar(0, mpb.PrependDecorators(decor.Name(what+"  "), decor.CountersNoUnit("%d of %d  ")),
		mpb.AppendDecorators(decor.Elapsed(decor.ET_STYLE_GO, decor.WCSyncSpace)))
	return func(done, about int) {
			if done%100 == 0 || done == about {
				bar.SetTotal(int64(max(about, done+1)), false)
				bar.SetCurrent(int64(done))
			}
		}, func() {
			bar.SetTotal(-1, true)
			p.Wait()
		}
}
