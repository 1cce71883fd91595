package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// DefaultFiles are looked for, in this order, when no file is named.
var DefaultFiles = []string{"holdfast.yml", "/etc/holdfast/holdfast.yml"}

// Source is where settings come from.
type Source struct {
	File    string         // as the --config flag names it; empty for HOLDFAST_CONFIG, else the first of Search
	Search  []string       // files that need not exist, usually DefaultFiles
	Environ []string       // "NAME=value", as os.Environ has it
	Flags   *pflag.FlagSet // from AddFlags, parsed; may be nil
}

// Load reads, merges and checks all settings. Every error of it is the user's:
// wrong usage, not a failure.
func Load(src Source) (Config, error) {
	v := viper.New()
	file, err := readFile(v, src)
	if err != nil {
		return Config{}, err
	}
	if err := mergeEnvironment(v, src.Environ); err != nil {
		return Config{}, err
	}
	for _, k := range keys {
		v.SetDefault(k.name, k.fallback)
		if flag := lookupFlag(src.Flags, k.name); flag != nil && flag.Changed {
			v.Set(k.name, flag.Value.String())
		}
	}
	c, err := decode(v, origin{file: file, src: src})
	if err != nil {
		return Config{}, err
	}
	return c, c.validate()
}

// readFile merges the file and returns its name, empty when there is none.
func readFile(v *viper.Viper, src Source) (string, error) {
	name, data, err := findFile(src)
	if err != nil || name == "" {
		return "", err
	}
	if err := checkDocument(data); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	v.SetConfigType("yaml")
	if err := v.ReadConfig(bytes.NewReader(data)); err != nil {
		return "", fmt.Errorf("%s: %w; correct the YAML there", name, oneLine(err))
	}
	return name, nil
}

func findFile(src Source) (string, []byte, error) {
	name := src.File
	if name == "" {
		name = variable(src.Environ, FileVariable)
	}
	if name != "" {
		data, err := os.ReadFile(name)
		if err != nil {
			return "", nil, fmt.Errorf("configuration file %s: %w; name another with --config", name, cause(err))
		}
		return name, data, nil
	}
	for _, candidate := range src.Search {
		data, err := os.ReadFile(candidate)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", nil, fmt.Errorf("configuration file %s: %w; make it readable or name another with --config", candidate, cause(err))
		}
		return candidate, data, nil
	}
	return "", nil, nil
}

// cause is a file's error without the file's name.
func cause(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// mergeEnvironment lays the HOLDFAST_* variables over the file. A variable that
// is set but empty counts as unset, as compose files tend to leave them.
func mergeEnvironment(v *viper.Viper, environ []string) error {
	byName := map[string]string{FileVariable: ""}
	for _, k := range keys {
		byName[EnvName(k.name)] = k.name
	}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, EnvPrefix) || strings.HasPrefix(name, testPrefix) {
			continue
		}
		dotted, known := byName[name]
		if !known {
			return unknownVariable(name)
		}
		if dotted == "" || value == "" {
			continue
		}
		if err := v.MergeConfigMap(nest(dotted, value)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func unknownVariable(name string) error {
	for _, list := range []string{databasesKey, directoriesKey} {
		if name == EnvName(list) {
			return fmt.Errorf("environment variable %s is not read; list %s in the file", name, list)
		}
	}
	names := []string{FileVariable}
	for _, k := range keys {
		names = append(names, EnvName(k.name))
	}
	if guess := nearest(name, names); guess != "" {
		return fmt.Errorf("unknown environment variable %s; did you mean %s?", name, guess)
	}
	return fmt.Errorf("unknown environment variable %s; unset it", name)
}

// nest turns a dotted name into the maps that a file would have.
func nest(dotted, value string) map[string]any {
	section, rest, ok := strings.Cut(dotted, ".")
	if !ok {
		return map[string]any{dotted: value}
	}
	return map[string]any{section: nest(rest, value)}
}

func variable(environ []string, name string) string {
	value := ""
	for _, entry := range environ {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}

func lookupFlag(flags *pflag.FlagSet, dotted string) *pflag.Flag {
	if flags == nil {
		return nil
	}
	return flags.Lookup(FlagName(dotted))
}

// origin remembers where values came from, for messages.
type origin struct {
	file string
	src  Source
}

// of returns how the user would call the setting that wins.
func (o origin) of(dotted string) string {
	if flag := lookupFlag(o.src.Flags, dotted); flag != nil && flag.Changed {
		return "--" + flag.Name
	}
	if variable(o.src.Environ, EnvName(dotted)) != "" {
		return EnvName(dotted)
	}
	if o.file == "" {
		return dotted
	}
	return o.file + ": " + dotted
}

func decode(v *viper.Viper, from origin) (Config, error) {
	d := decoder{v: v, from: from}
	c := Config{
		Host:     d.text("host"),
		Replica:  d.text("replica"),
		StateDir: d.text("state-dir"),
		Discovery: Discovery{
			Rescan: d.duration("discovery.rescan"),
			Grace:  d.duration("discovery.grace"),
		},
		Sync: Sync{
			Interval:  d.duration("sync.interval"),
			Window:    d.duration("sync.window"),
			Heartbeat: d.duration("sync.heartbeat"),
			Scrub:     d.duration("sync.scrub"),
			IdleAfter: d.duration("sync.idle-after"),
			ColdAfter: d.duration("sync.cold-after"),
			Autonomy:  d.duration("sync.autonomy"),
			WALLimit:  d.size("sync.wal-limit"),
		},
		Backoff: Backoff{Cap: d.duration("backoff.cap")},
		Azure:   d.azure("azure."),
		Janitor: d.azure("janitor."),
		Retention: Retention{
			Window: d.duration("retention.window"),
			Level0: d.duration("retention.level0"),
			Store:  d.truth("retention.store"),
		},
		Maintenance: Maintenance{Slots: d.count("maintenance.slots", mostSlots), Scratch: d.text("maintenance.scratch")},
		Tuning:      d.tuning(),

		Metrics: Metrics{Listen: d.text("metrics.listen")},
		Log:     Log{Level: d.text("log.level"), Format: d.text("log.format")},
	}
	if d.err == nil {
		d.err = v.UnmarshalKey(databasesKey, &c.Databases)
	}
	if d.err == nil {
		d.err = v.UnmarshalKey(directoriesKey, &c.Directories)
	}
	return c, d.err
}

// decoder reads typed values and keeps the first error.
type decoder struct {
	v    *viper.Viper
	from origin
	err  error
}

func (d *decoder) text(name string) string { return strings.TrimSpace(d.v.GetString(name)) }

func (d *decoder) azure(section string) Azure {
	return Azure{
		Endpoint:             d.text(section + "endpoint"),
		ConnectionStringFile: d.text(section + "connection-string-file"),
		AccountKeyFile:       d.text(section + "account-key-file"),
		SASFile:              d.text(section + "sas-file"),
		Tier:                 d.text(section + "tier"),
	}
}

func (d *decoder) truth(name string) bool {
	value, err := strconv.ParseBool(d.text(name))
	if err != nil {
		d.fail(name, fmt.Errorf("got %q; write true or false", d.text(name)))
	}
	return value
}

func (d *decoder) duration(name string) time.Duration {
	text := d.text(name)
	value, err := time.ParseDuration(text)
	if err == nil && value < 0 {
		err = errors.New("negative")
	}
	if err != nil {
		d.fail(name, fmt.Errorf("got %q; write a duration such as 1s, 500ms or 10m", text))
	}
	return value
}

func (d *decoder) size(name string) Size {
	value, err := ParseSize(d.text(name))
	if err != nil {
		d.fail(name, err)
	}
	return value
}

// mostSlots keeps a slip of the pen from taking all memory: each slot may hold one
// object's pages.
const mostSlots = 1000

func (d *decoder) count(name string, most int) int {
	text := d.text(name)
	value, err := strconv.Atoi(text)
	if err != nil || value < 0 || value > most {
		d.fail(name, fmt.Errorf("got %q; write a number from 0 to %d", text, most))
	}
	return value
}

// What a worker may be tuned to: beyond, the service or the machine has other limits.
const (
	mostWindows  = 1_000_000
	mostPollers  = 100 // what the SDK lets a queue have by itself
	mostASecond  = 10_000
	mostRestores = 100
)

func (d *decoder) tuning() Tuning {
	return Tuning{
		Windows:             d.count("tuning.windows", mostWindows),
		Control:             d.count("tuning.control", mostSlots),
		Restores:            d.count("tuning.restores", mostRestores),
		Pollers:             d.count("tuning.pollers", mostPollers),
		StopTimeout:         d.duration("tuning.stop-timeout"),
		Heartbeat:           d.duration("tuning.heartbeat"),
		HeartbeatsPerSecond: d.count("tuning.heartbeats-per-second", mostASecond),
		WakesPerSecond:      d.count("tuning.wakes-per-second", mostASecond),
	}
}

func (d *decoder) fail(name string, err error) {
	if d.err == nil {
		d.err = fmt.Errorf("%s: %w", d.from.of(name), err)
	}
}
