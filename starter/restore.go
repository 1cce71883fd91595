package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/driver"
	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
)

// restoring is what the flags of restore say.
type restoring struct {
	config, output, txid, at string
	integrity, mode, owner   string

	force, ifAbsent, ifReplica, dryRun bool

	on     string // host; empty for this machine, without Temporal
	detach bool

	follow   bool
	interval time.Duration // between looks, for follow
}

// restored is the answer of restore as JSON has it.
type restored struct {
	Output  string     `json:"output"`
	Replica string     `json:"replica"`
	TXID    string     `json:"txid"`
	Created *time.Time `json:"created"` // when the restored state was captured
	Bytes   int64      `json:"bytes"`   // of the file
	Objects int        `json:"objects"`
	Fetched int64      `json:"fetched_bytes"`
	Kept    int64      `json:"kept_bytes,omitempty"` // which a restore that was killed had fetched
	Took    float64    `json:"took_seconds"`
	Skipped string     `json:"skipped,omitempty"` // why nothing was restored
}

func (a *app) restore() *cobra.Command {
	var r restoring
	c := &cobra.Command{
		Use:   "restore URL|NAME -o FILE",
		Short: "Put a database back, as it was at some moment",
		Long: `Put a database back, as it was at some moment: the latest one, one TXID, or the last state before a time.

With a URL it needs neither Temporal nor a worker; with the NAME of a registered database it asks Temporal for the
URL. The file appears under its name only when it is complete and checked. Here -o is the file; --json prints JSON.

With --on the worker of that host restores, with its own credentials and owners, and FILE is a path there. This is how
the file of a registered database is replaced: with --force it is paused meanwhile and goes on from the new file. Its
application must not have it open. Ctrl-C cancels; what was begun is removed. --detach leaves the restore to itself.

With --follow the file is a copy that other programs may read at any time, each of them one state as a whole; it
becomes a newer one soon after that was shipped. Started again, it goes on from where the copy is.

Before an application starts that may have lost its disk, or may be new:
  holdfast restore URL -o FILE --if-absent --if-replica-exists`,
		Example: `  holdfast restore abs://account@backups/prod/shop -o shop.db
  holdfast restore shop -o shop.db --at 2026-03-01T09:30:00Z
  holdfast restore shop -o shop.db --at "10m ago" --dry-run
  holdfast restore shop -o /var/lib/shop/shop.db --on web-1 --force
  holdfast restore shop -o copy.db --follow`,
		Args: arguments("URL or NAME", 1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			opts, err := r.options(c, a.now())
			if err != nil {
				return err
			}
			if r.on != "" {
				return a.restoreOn(c.Context(), r, args[0], opts)
			}
			return a.doRestore(c.Context(), r, args[0], opts)
		},
	}
	flags := c.Flags()
	flags.VarP(&once{text: &r.output}, "output", "o", "file to restore to")
	flags.StringVar(&r.txid, "txid", "", "the state at this TXID, 16 hex digits as status prints it")
	flags.StringVar(&r.at, "at", "", "the last state before this time, in RFC 3339 such as 2026-03-01T09:30:00Z, or \"10m ago\"")
	flags.BoolVar(&r.force, "force", false, "replace what is there, with its log")
	flags.BoolVar(&r.ifAbsent, "if-absent", false, "do nothing, and succeed, if the file is there")
	flags.BoolVar(&r.ifReplica, "if-replica-exists", false, "do nothing, and succeed, if the replica is empty")
	flags.BoolVar(&r.dryRun, "dry-run", false, "print what would be read, and restore nothing")
	flags.BoolVar(&r.follow, "follow", false, "keep the file up to date, for others to read, until Ctrl-C")
	flags.DurationVar(&r.interval, "interval", time.Second, "how often --follow looks for something new")
	flags.Var(choice{&r.integrity, "check", []string{"quick", "full"}}, "integrity", "let SQLite check the file before it gets its name: quick or full")
	flags.StringVar(&r.mode, "mode", "", "permissions of the file, such as 0640 (default: those of a replaced file, or 0600)")
	flags.StringVar(&r.owner, "owner", "", "owner of the file, as USER or USER:GROUP, names or numbers")
	flags.StringVar(&r.on, "on", "", "host whose worker restores, and on which the file is")
	flags.BoolVar(&r.detach, "detach", false, "with --on: print the restore's id and do not wait for it")
	flags.StringVar(&r.config, "config", "", "configuration file, for the azure settings (default: holdfast.yml, /etc/holdfast/holdfast.yml)")
	return c
}

// options says what is to be restored, and how.
func (r restoring) options(c *cobra.Command, now time.Time) (opts restore.Options, err error) {
	if r.output == "" && !r.dryRun {
		return opts, usage(c, "the output is missing, say -o FILE")
	}
	if err := either(c, "if-absent", "force"); err != nil {
		return opts, err
	}
	if err := r.checkPlace(c); err != nil {
		return opts, err
	}
	if err := r.checkFollow(c); err != nil {
		return opts, err
	}
	opts.Force, opts.Integrity = r.force, restore.Integrity(r.integrity)
	if opts.Output, err = filepath.Abs(r.output); err != nil {
		return opts, err
	}
	if opts.Target, err = r.target(c, now); err != nil {
		return opts, err
	}
	if c.Flags().Changed("mode") {
		mode, err := strconv.ParseUint(r.mode, 8, 32)
		if err != nil || mode == 0 || mode > 0o777 {
			return opts, usageHint(c, fmt.Sprintf("--mode: got %q", r.mode), "write up to four octal digits such as 0640")
		}
		opts.Mode = fs.FileMode(mode)
	}
	if c.Flags().Changed("owner") && r.on == "" { // else it is the host's to know
		if opts.Owner, err = restore.ParseOwner(r.owner); err != nil {
			return opts, usageHint(c, fmt.Sprintf("--owner: %v", err), "write USER or USER:GROUP, names or numbers")
		}
	}
	return opts, nil
}

// target says which state is wanted.
func (r restoring) target(c *cobra.Command, now time.Time) (t plan.Target, err error) {
	if err := either(c, "txid", "at"); err != nil {
		return t, err
	}
	switch {
	case c.Flags().Changed("txid"):
		if t.TXID, err = ltx.ParseTXID(r.txid); err != nil || t.TXID == 0 {
			return t, usageHint(c, fmt.Sprintf("--txid: got %q", r.txid), "write the 16 hex digits that status prints")
		}
	case c.Flags().Changed("at"):
		if t.At, err = parseAt(r.at, now); err != nil {
			return t, usageHint(c, fmt.Sprintf("--at: got %q", r.at), "write RFC 3339 such as 2026-03-01T09:30:00Z, or a time ago such as \"10m ago\" or \"2d ago\"")
		}
	}
	return t, nil
}

// parseAt reads a time, or how long ago it was.
func parseAt(text string, now time.Time) (time.Time, error) {
	ago, ok := strings.CutSuffix(strings.TrimSpace(text), "ago")
	if !ok {
		return time.Parse(time.RFC3339, text)
	}
	ago = strings.TrimSpace(ago)
	var long time.Duration
	var err error
	if days, ok := strings.CutSuffix(ago, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		long = time.Duration(n) * 24 * time.Hour
	} else {
		long, err = time.ParseDuration(ago)
	}
	if err == nil && long < 0 {
		err = errors.New("not in the past")
	}
	return now.Add(-long), err
}

func (a *app) doRestore(ctx context.Context, r restoring, from string, opts restore.Options) error {
	if _, err := os.Lstat(opts.Output); r.ifAbsent && err == nil {
		return a.emit(restored{Output: opts.Output, Skipped: "the file is there"}, func(w io.Writer) {
			fmt.Fprintf(w, "%s is there: nothing restored\n", opts.Output)
		})
	}
	source, url, err := a.source(ctx, r.config, from)
	if err != nil {
		return err
	}
	switch {
	case r.dryRun:
		err = a.preview(ctx, source, url, opts.Target)
	case r.follow:
		err = a.keepUp(ctx, source, url, r, opts)
	default:
		err = a.bringBack(ctx, source, url, opts)
	}
	switch {
	case errors.Is(err, plan.ErrEmpty) && r.ifReplica:
		return a.emit(restored{Output: opts.Output, Replica: url, Skipped: "the replica is empty"}, func(w io.Writer) {
			fmt.Fprintf(w, "there is no replica at %s: nothing restored\n", url)
		})
	case errors.Is(err, plan.ErrEmpty):
		return noReplica(url)
	case errors.Is(err, restore.ErrExists):
		return &fault{statusFailed, typeExists, err}
	}
	return err
}

// bringBack restores, telling how far it is.
func (a *app) bringBack(ctx context.Context, source *replica.Replica, url string, opts restore.Options) error {
	leave, err := reserve(&opts)
	if err != nil {
		return err
	}
	defer leave()
	begun := a.now()
	if !a.asJSON() {
		progress := newBar(a.stderr, a.terminal, a.now)
		defer progress.end()
		opts.Progress = progress.tell
	}
	res, err := restore.Run(ctx, source, opts)
	if err != nil {
		return err
	}
	v := restored{
		Output: opts.Output, Replica: url, TXID: res.TXID.String(), Created: instant(res.Created), Bytes: res.Bytes,
		Objects: res.Objects, Fetched: res.Fetched, Kept: res.Kept, Took: a.now().Sub(begun).Seconds(),
	}
	return a.emit(v, func(w io.Writer) {
		fmt.Fprintf(w, "restored %s: txid %s of %s, %s from %d objects in %.1f s\n",
			v.Output, v.TXID, pointed(v.Created), mebibytes(v.Bytes), v.Objects, v.Took)
		if v.Kept > 0 {
			fmt.Fprintf(w, "%s of the objects had been read by a restore that was killed\n", mebibytes(v.Kept))
		}
	})
}

// previewed is the answer of restore --dry-run as JSON has it.
type previewed struct {
	Replica string            `json:"replica"`
	TXID    string            `json:"txid"`
	Created *time.Time        `json:"created"`
	Bytes   int64             `json:"fetched_bytes"`
	Objects []previewedObject `json:"objects"`
}

type previewedObject struct {
	Key     string     `json:"key"`
	Bytes   int64      `json:"bytes"`
	Created *time.Time `json:"created"`
}

// preview prints which objects would be read.
func (a *app) preview(ctx context.Context, source *replica.Replica, url string, target plan.Target) error {
	chain, err := restore.Choose(ctx, source, target)
	if err != nil {
		return err
	}
	last := chain[len(chain)-1]
	v := previewed{Replica: url, TXID: last.Max.String(), Created: instant(last.Created)}
	var rows [][]string
	for _, f := range chain {
		o := previewedObject{replica.Key(f.Level, f.Min, f.Max), f.Size, instant(f.Created)}
		v.Bytes += f.Size
		v.Objects = append(v.Objects, o)
		rows = append(rows, []string{o.Key, mebibytes(o.Bytes), stamp(f.Created)})
	}
	return a.emit(v, func(w io.Writer) {
		table(w, []string{"OBJECT", "SIZE", "CREATED"}, rows)
		fmt.Fprintf(w, "would restore txid %s of %s, reading %s from %d objects\n", v.TXID, pointed(v.Created), mebibytes(v.Bytes), len(chain))
	})
}

func noReplica(url string) error {
	return fmt.Errorf("there is no replica at %s; check the URL, to which a database's name belongs", url)
}

// source opens the replica that from names, which is a URL or a database.
func (a *app) source(ctx context.Context, file, from string) (r *replica.Replica, url string, err error) {
	settings, err := a.settings(file)
	if err != nil {
		return nil, "", err
	}
	if url, err = a.locate(ctx, from); err != nil {
		return nil, "", err
	}
	r, err = a.open(ctx, settings.Azure.Credentials, url)
	return r, url, err
}

// locate returns the URL of a replica: from itself, or that of a registered
// database.
func (a *app) locate(ctx context.Context, from string) (url string, err error) {
	if strings.Contains(from, "://") {
		return from, nil
	}
	if err := named(from); err != nil {
		return "", err
	}
	err = a.with(ctx, func(f fleet) error {
		s, err := f.Status(ctx, from)
		if url = s.Replica; err == nil && url == "" {
			err = fmt.Errorf("the replica of %s is not on record and no worker answers; restore by its URL", from)
		}
		return err
	})
	return url, err
}

// named refuses what is neither a URL nor a name.
func named(from string) error {
	if config.CheckName(from) != nil {
		return misconfigured(notASource(from))
	}
	return nil
}

func notASource(from string) error {
	return fmt.Errorf("%q is neither a replica URL nor a database name; write abs://account@container/path, file:///path, or a name that list shows", from)
}

// open opens a replica with credentials of the environment or the configuration.
func (a *app) open(ctx context.Context, read credentialsReader, url string) (*replica.Replica, error) {
	u, err := blob.ParseURL(url)
	if err != nil {
		return nil, err
	}
	credentials, err := read(lookup(a.environ))
	if err != nil {
		return nil, misconfigured(err)
	}
	a.hide(config.Secrets(credentials))
	store, err := driver.Open(ctx, u, credentials)
	if err != nil {
		return nil, err
	}
	return replica.New(store), nil
}

// credentialsReader finds variables as os.LookupEnv does.
type credentialsReader func(lookup func(string) (string, bool)) (driver.Credentials, error)

// once is a flag that may be given once: whoever says -o twice means the second
// to be the format.
type once struct {
	text  *string
	given bool
}

// String returns the text.
func (o *once) String() string {
	if o.text == nil {
		return ""
	}
	return *o.text
}

// Set takes the text as it is.
func (o *once) Set(s string) error {
	if o.given {
		return errors.New("the file is given already; give one, and say --json for JSON")
	}
	*o.text, o.given = s, true
	return nil
}

// Type names the value in the help.
func (o *once) Type() string { return "file" }
