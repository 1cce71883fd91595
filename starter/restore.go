package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
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
	force                    bool
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
	Took    float64    `json:"took_seconds"`
}

func (a *app) restore() *cobra.Command {
	var r restoring
	c := &cobra.Command{
		Use:   "restore URL|NAME -o FILE",
		Short: "Put a database back, as it was at some moment",
		Long: `Put a database back, as it was at some moment: the latest one, one TXID, or the last state before a time.

With a URL it needs neither Temporal nor a worker; with the NAME of a registered database it asks Temporal for the
URL. The file appears under its name only when it is complete and checked. Here -o is the file; --json prints JSON.`,
		Example: `  holdfast restore abs://account@backups/prod/shop -o shop.db
  holdfast restore shop -o shop.db --at 2026-03-01T09:30:00Z`,
		Args: arguments("URL or NAME", 1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			target, err := r.target(c)
			if err != nil {
				return err
			}
			if r.output == "" {
				return usage(c, "the output is missing, say -o FILE")
			}
			return a.doRestore(c.Context(), r, args[0], target)
		},
	}
	flags := c.Flags()
	flags.VarP(&once{text: &r.output}, "output", "o", "file to restore to")
	flags.StringVar(&r.txid, "txid", "", "the state at this TXID, 16 hex digits as status prints it")
	flags.StringVar(&r.at, "at", "", "the last state before this time, in RFC 3339 such as 2026-03-01T09:30:00Z")
	flags.BoolVar(&r.force, "force", false, "replace what is there, with its log")
	flags.StringVar(&r.config, "config", "", "configuration file, for the azure settings (default: holdfast.yml, /etc/holdfast/holdfast.yml)")
	return c
}

// target says which state is wanted.
func (r restoring) target(c *cobra.Command) (t plan.Target, err error) {
	if err := either(c, "txid", "at"); err != nil {
		return t, err
	}
	switch {
	case c.Flags().Changed("txid"):
		if t.TXID, err = ltx.ParseTXID(r.txid); err != nil || t.TXID == 0 {
			return t, usageHint(c, fmt.Sprintf("--txid: got %q", r.txid), "write the 16 hex digits that status prints")
		}
	case c.Flags().Changed("at"):
		if t.At, err = time.Parse(time.RFC3339, r.at); err != nil {
			return t, usageHint(c, fmt.Sprintf("--at: got %q", r.at), "write RFC 3339 such as 2026-03-01T09:30:00Z")
		}
	}
	return t, nil
}

func (a *app) doRestore(ctx context.Context, r restoring, from string, target plan.Target) error {
	settings, err := a.settings(r.config)
	if err != nil {
		return err
	}
	url, err := a.locate(ctx, from)
	if err != nil {
		return err
	}
	source, err := a.open(ctx, settings, url)
	if err != nil {
		return err
	}
	output, err := filepath.Abs(r.output)
	if err != nil {
		return err
	}
	begun := a.now()
	res, err := restore.Run(ctx, source, restore.Options{Output: output, Target: target, Force: r.force})
	switch {
	case errors.Is(err, restore.ErrExists):
		return &fault{statusFailed, typeExists, err}
	case errors.Is(err, plan.ErrEmpty):
		return fmt.Errorf("there is no replica at %s; check the URL, to which a database's name belongs", url)
	case err != nil:
		return err
	}
	v := restored{output, url, res.TXID.String(), instant(res.Created), res.Bytes, res.Objects, res.Fetched, a.now().Sub(begun).Seconds()}
	return a.emit(v, func(w io.Writer) {
		fmt.Fprintf(w, "restored %s: txid %s of %s, %s from %d objects in %.1f s\n",
			v.Output, v.TXID, pointed(v.Created), mebibytes(v.Bytes), v.Objects, v.Took)
	})
}

// locate returns the URL of a replica: from itself, or that of a registered
// database.
func (a *app) locate(ctx context.Context, from string) (url string, err error) {
	if strings.Contains(from, "://") {
		return from, nil
	}
	if config.CheckName(from) != nil {
		return "", misconfigured(fmt.Errorf("%q is neither a replica URL nor a database name; write abs://account@container/path, file:///path, or a name that list shows", from))
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

// open opens a replica with the credentials of the environment or the
// configuration.
func (a *app) open(ctx context.Context, settings config.Config, url string) (*replica.Replica, error) {
	u, err := blob.ParseURL(url)
	if err != nil {
		return nil, err
	}
	credentials, err := settings.Azure.Credentials(lookup(a.environ))
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
