// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/spf13/pflag"
)

// Config is the settings of one run.
type Config struct {
	values map[string]value
}

type value struct {
	text   string   // of all kinds but List
	list   []string // of List
	source string   // "default", "file NAME", "environment", "flag"
}

// RegisterFlags adds a flag for each option.
func RegisterFlags(fs *pflag.FlagSet) {
	for _, o := range Options {
		help := o.Help
		if o.Note != "" {
			help += " (no effect: " + o.Note + ")"
		}
		if o.Kind == Bool {
			fs.Bool(o.Flag(), o.Default == "true", help)
			continue
		}
		fs.String(o.Flag(), o.Default, help)
		if o.Note != "" {
			_ = fs.MarkHidden(o.Flag()) // accepted all the same
		}
	}
}

// Load reads all sources. env is like os.Environ; file "" = none.
func Load(flags *pflag.FlagSet, env []string, file string) (*Config, error) {
	c := &Config{values: map[string]value{}}
	for _, o := range Options {
		v, err := o.parse(o.Default, "default")
		if err != nil {
			return nil, err
		}
		c.values[o.Key] = v
	}
	var all []error
	all = append(all, c.file(file)...)
	all = append(all, c.environment(env)...)
	all = append(all, c.flags(flags)...)
	if len(all) == 0 {
		all = append(all, c.check()...)
	}
	if err := errors.Join(all...); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Config) set(key, text, source string) error {
	o, ok := Find(key)
	if !ok {
		return fmt.Errorf("%s: unknown key %q%s; \"ferrite config show --effective\" lists all", source, key, nearest(key))
	}
	v, err := o.parse(text, source)
	if err != nil {
		return err
	}
	c.values[key] = v
	return nil
}

func (c *Config) file(name string) []error {
	if name == "" {
		return nil
	}
	b, err := os.ReadFile(name) //nolint:gosec // the operator names it
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return []error{fmt.Errorf("--config %s: there is no such file", name)}
		}
		return []error{fmt.Errorf("--config: %w", err)}
	}
	doc, err := yaml.Parser().Unmarshal(b)
	if err != nil {
		return []error{fmt.Errorf("file %s is not YAML: %w", name, err)}
	}
	flat := map[string]string{}
	var all []error
	for _, k := range slices.Sorted(maps.Keys(doc)) {
		group, ok := doc[k].(map[string]any)
		if !ok {
			flat[k] = yamlText(doc[k])
			continue
		}
		for _, kk := range slices.Sorted(maps.Keys(group)) {
			key := k + "." + kk
			if k == "conductor" || k == "DEFAULT" { // Ironic's section names are taken as well
				key = kk
			}
			flat[key] = yamlText(group[kk])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(flat)) {
		if err := c.set(k, flat[k], "file "+name); err != nil {
			all = append(all, err)
		}
	}
	return all
}

// yamlText is a YAML scalar, or a list with commas, as text.
func yamlText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case []any:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = yamlText(x)
		}
		return strings.Join(parts, ",")
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}

// unconfigured are FERRITE_ variables that are no options.
var unconfigured = []string{"FERRITE_BIN", "FERRITE_CONFIG"}

func (c *Config) environment(env []string) []error {
	byEnv := map[string]string{}
	for _, o := range Options {
		byEnv[o.Env()] = o.Key
	}
	var all []error
	for _, kv := range env {
		name, text, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "FERRITE_") || slices.Contains(unconfigured, name) {
			continue
		}
		key, ok := byEnv[name]
		if !ok {
			guess := strings.ToLower(strings.TrimPrefix(name, "FERRITE_"))
			all = append(all, fmt.Errorf("environment: unknown variable %s%s", name, nearest(guess)))
			continue
		}
		if err := c.set(key, text, "environment "+name); err != nil {
			all = append(all, err)
		}
	}
	return all
}

func (c *Config) flags(flags *pflag.FlagSet) []error {
	if flags == nil {
		return nil
	}
	var all []error
	for _, o := range Options {
		f := flags.Lookup(o.Flag())
		if f == nil || !f.Changed {
			continue
		}
		if err := c.set(o.Key, f.Value.String(), "flag --"+o.Flag()); err != nil {
			all = append(all, err)
		}
	}
	return all
}

// parse checks a text against its option.
func (o Option) parse(text, source string) (value, error) {
	v := value{text: strings.TrimSpace(text), source: source}
	bad := func(want string) (value, error) {
		return value{}, fmt.Errorf("%s: %s is %q: wanted %s", source, o.Key, text, want)
	}
	switch o.Kind {
	case Duration:
		d, err := duration(v.text)
		if err != nil {
			return bad("a duration like 2s, 500ms or plain seconds")
		}
		if least, _ := duration(o.Min); o.Min != "" && d < least {
			return bad(fmt.Sprintf("at least %s", least))
		}
		v.text = d.String()
	case Int:
		n, err := strconv.Atoi(v.text)
		if err != nil {
			return bad("a whole number")
		}
		if least, _ := strconv.Atoi(o.Min); o.Min != "" && n < least {
			return bad("at least " + o.Min)
		}
	case Bool:
		b, ok := boolean(v.text)
		if !ok {
			return bad("true or false")
		}
		v.text = strconv.FormatBool(b)
	case Enum:
		if !slices.Contains(o.Allowed, v.text) {
			return bad("one of " + strings.Join(o.Allowed, ", "))
		}
	case List:
		for part := range strings.SplitSeq(v.text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				v.list = append(v.list, part)
			}
		}
		v.text = strings.Join(v.list, ",")
	case String:
	}
	return v, nil
}

// duration takes Go's form or plain seconds; "" is 0.
func duration(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return time.Duration(f * float64(time.Second)), nil
	}
	return time.ParseDuration(s)
}

func boolean(s string) (is, ok bool) {
	switch strings.ToLower(s) {
	case "1", "t", "true", "on", "y", "yes":
		return true, true
	case "0", "f", "false", "off", "n", "no":
		return false, true
	}
	return false, false
}

// check is what options say of one another.
func (c *Config) check() []error {
	var all []error
	say := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	if (c.String("api_tls_cert") == "") != (c.String("api_tls_key") == "") {
		say("api_tls_cert and api_tls_key go together: wanted both or neither")
	}
	if c.String("auth_strategy") == "http_basic" && c.String("htpasswd_file") == "" {
		say("auth_strategy is http_basic, but htpasswd_file is not set: wanted a file of user:bcrypt lines")
	}
	if c.String("auth_strategy") == "noauth" && !c.Bool("insecure") && !Loopback(c.String("api_listen")) {
		say("api_listen is %q and auth_strategy is noauth: everybody who reaches that address could drive your machines. Use http_basic, or say --insecure if that is wanted", c.String("api_listen"))
	}
	if p := c.String("pprof_listen"); p != "" && !Loopback(p) {
		say("pprof_listen is %q: wanted a loopback address", p)
	}
	if c.String("nats_url") != "" && c.String("nats_listen") != "" && c.values["nats_listen"].source != "default" {
		say("nats_url and nats_listen are both set: wanted an existing NATS or an embedded one")
	}
	return all
}

// Loopback reports whether an address to listen on can be reached from this machine alone.
func Loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// String, Bool, Int, Duration and Strings read a setting; an unknown key is a defect and panics.
func (c *Config) String(key string) string { return c.get(key).text }

// Bool reads a switch.
func (c *Config) Bool(key string) bool { return c.get(key).text == "true" }

// Int reads a number.
func (c *Config) Int(key string) int { n, _ := strconv.Atoi(c.get(key).text); return n }

// Duration reads a time.
func (c *Config) Duration(key string) time.Duration { d, _ := duration(c.get(key).text); return d }

// Strings reads a list.
func (c *Config) Strings(key string) []string { return c.get(key).list }

// Given reports whether a setting was set anywhere.
func (c *Config) Given(key string) bool { return c.get(key).source != "default" }

func (c *Config) get(key string) value {
	v, ok := c.values[key]
	if !ok {
		panic("config: no option " + key)
	}
	return v
}

// Row is one line of "ferrite config show --effective".
type Row struct {
	Key    string `json:"key" yaml:"key"`
	Value  string `json:"value" yaml:"value"`
	Source string `json:"source" yaml:"source"`
	Note   string `json:"note,omitempty" yaml:"note,omitempty"`
}

// Effective lists all settings in the table's order.
func (c *Config) Effective() []Row {
	var out []Row
	for _, o := range Options {
		v := c.values[o.Key]
		note := o.Note
		if note == "" && o.Zero != "" && (v.text == "0" || v.text == "0s") {
			note = o.Zero
		}
		out = append(out, Row{o.Key, v.text, v.source, note})
	}
	return out
}

// Notes explains settings that were given but have no effect.
func (c *Config) Notes() []string {
	var out []string
	for _, o := range Options {
		if o.Note != "" && c.Given(o.Key) {
			out = append(out, fmt.Sprintf("%s has no effect: %s", o.Key, o.Note))
		}
	}
	return out
}

// nearest suggests the known key that is most like a wrong one.
func nearest(key string) string {
	best, least := "", len(key)/2+1
	for _, o := range Options {
		for _, form := range []string{o.Key, strings.ReplaceAll(o.Key, ".", "_")} {
			if d := distance(key, form); d < least {
				best, least = o.Key, d
			}
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			prev, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, prev+cost)
		}
	}
	return row[len(b)]
}
