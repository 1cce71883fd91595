package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/workflows/control"
)

func TestWrongUsage(t *testing.T) {
	for _, row := range []struct {
		name, args, want string
		env              []string
	}{
		{name: "unknown command", args: "lst", want: `holdfast: unknown command "lst"; did you mean list?`},
		{name: "unknown command like no other", args: "frobnicate", want: `holdfast: unknown command "frobnicate"; see holdfast --help`},
		{name: "unknown flag", args: "list --colour", want: "holdfast: list: unknown flag: --colour; see holdfast list --help"},
		{name: "unknown flag before a command", args: "--colour list", want: "unknown flag: --colour; see holdfast --help"},
		{name: "unknown output", args: "list -o xml", want: `list: --output: got "xml": no such format; write text or json`},
		{name: "no name", args: "status", want: "holdfast: status: NAME is missing; see holdfast status --help"},
		{name: "no names", args: "pause", want: "pause: NAME is missing"},
		{name: "neither names nor a choice", args: "resume --all=false", want: "resume: NAME is missing; name databases, or say --all, --host or --query"},
		{name: "all and a name", args: "pause --all shop", want: "pause: --all and NAME exclude each other; give one of them"},
		{name: "all and a host", args: "resume --all --host web-1", want: "resume: --all and --host exclude each other; give one of them"},
		{name: "a host and a query", args: "pause --host web-1 --query x=1", want: "--host and --query exclude each other; give one of them"},
		{name: "all of a host that cannot be", args: "pause --host a/b", want: `pause: host name "a/b"`},
		{name: "all of a host without a name", args: "pause --host=", want: `pause: host name ""`},
		{name: "an empty query", args: "pause --query=", want: "pause: --query is empty; say --all for all databases"},
		{name: "a name too many", args: "status a b", want: `status: unexpected argument "b"`},
		{name: "an argument where none belongs", args: "list a", want: `list: unexpected argument "a"`},
		{name: "no path", args: "register", want: "register: PATH is missing"},
		{name: "a name that cannot be", args: "register /a.db --name A --replica file:///r", want: `register: database name "A": the part "A" does not fit; begin it with a-z or 0-9`},
		{name: "no name to be made", args: "register /___.db --replica file:///r", want: "give it one with --name"},
		{name: "no replica", args: "register /a.db", want: "a has no replica; say --replica, or configure a root for all"},
		{name: "a replica that is no URL", args: "register /a.db --replica /r", want: "replica URL: no scheme; write abs://"},
		{name: "a relative path on another host", args: "register a.db --host db-7 --replica file:///r", want: `path "a.db" is relative; write the absolute path on host db-7`},
		{name: "a host that cannot be", args: "register /a.db --host a/b --replica file:///r", want: `host name "a/b"`},
		{name: "an interval without a unit", args: "register /a.db --interval 5 --replica file:///r", want: `register: --interval: got "5"; write a duration such as 1s, 500ms or 10m`},
		{name: "a negative window", args: "register /a.db --window=-1s --replica file:///r", want: "window: got -1s, want 0s or more"},
		{name: "wait and no-wait", args: "register /a.db --wait --no-wait --replica file:///r", want: "--wait and --no-wait exclude each other"},
		{name: "a configuration that is not there", args: "register /a.db --config /nosuch.yml", want: "configuration file /nosuch.yml: no such file or directory; name another with --config"},
		{name: "an unknown variable", args: "register /a.db", env: []string{"HOLDFAST_HOSTS=a"}, want: "unknown environment variable HOLDFAST_HOSTS; did you mean HOLDFAST_HOST?"},
		{name: "nothing to reconfigure", args: "reconfigure shop", want: "reconfigure: no setting is named; name at least one, such as --interval"},
		{name: "a limit in words", args: "reconfigure shop --wal-limit much", want: `reconfigure: --wal-limit: got "much"`},
		{name: "nothing to restore", args: "restore", want: "restore: URL or NAME is missing"},
		{name: "nowhere to restore to", args: "restore file:///r", want: "the output is missing, say -o FILE"},
		{name: "a replica of no known kind", args: "restore s3://bucket/x -o out.db", want: `unknown scheme "s3"; write abs://`},
		{name: "a path for a replica", args: "restore /mnt/shop -o out.db", want: `"/mnt/shop" is neither a replica URL nor a database name`},
		{name: "a decimal TXID", args: "restore file:///r -o out.db --txid 12", want: `--txid: got "12"; write the 16 hex digits`},
		{name: "TXID zero", args: "restore file:///r -o out.db --txid 0000000000000000", want: "--txid: got"},
		{name: "a time in words", args: "restore file:///r -o out.db --at yesterday", want: `--at: got "yesterday"; write RFC 3339 such as 2026-03-01T09:30:00Z`},
		{name: "a format where the file belongs", args: "restore file:///r -o out.db -o yaml", want: `--output: got "yaml": the file is given already; give one, and say --json for JSON`},
		{name: "nothing to verify", args: "verify", want: "verify: NAME or URL is missing"},
		{name: "a path to verify", args: "verify /mnt/shop", want: `"/mnt/shop" is neither a replica URL nor a database name`},
		{name: "full and cheap", args: "verify shop --full --cheap", want: "--full and --cheap exclude each other"},
		{name: "a check without a restore", args: "verify shop --cheap --check x", want: "--cheap and --check exclude each other"},
		{name: "a schedule that begins and ends", args: "verify shop --every 1h --off", want: "--every and --off exclude each other"},
		{name: "a schedule for a URL", args: "verify file:///r --every 1h", want: "a schedule needs a registered database; say its name"},
		{name: "a schedule without pause", args: "verify shop --every 1s", want: "--every is 1s; write 1m0s or more"},
		{name: "a budget without a number", args: "verify shop --budget much", want: `--budget: got "much"`},
		{name: "a budget of nothing", args: "verify shop --budget 0", want: "leave it out for no limit"},
		{name: "scratch space of a worker", args: "verify shop --scratch /tmp", want: "--scratch is for a URL; set maintenance.scratch for the workers"},
		{name: "two targets", args: "restore file:///r -o out.db --txid 0000000000000001 --at 2026-03-01T09:30:00Z", want: "--txid and --at exclude each other"},
		{name: "two kinds of credentials that do not fit", args: "restore abs://account@backups/x -o out.db", env: []string{"AZURE_STORAGE_CONNECTION_STRING=nonsense"}, want: "; "},
	} {
		t.Run(row.name, func(t *testing.T) {
			mustFail(t, invoke(t, nil, row.env, strings.Fields(row.args)...), statusUsage, row.want)
		})
	}
}

func TestFailures(t *testing.T) {
	for _, row := range []struct {
		name       string
		err        error
		wantStatus int
		wantType   string
		wantLine   string
	}{
		{"refused by the workflow", &control.Refused{Type: "Misconfigured", Message: "container x does not exist; create it"}, statusFailed,
			"Misconfigured", "holdfast: sync: container x does not exist; create it"},
		{"a message that begins like the command", &control.Refused{Type: "Paused", Message: "sync of shop: it is paused; resume it first"}, statusFailed,
			"Paused", "holdfast: sync of shop: it is paused; resume it first"},
		{"not registered", fmt.Errorf("shop is %w; see holdfast list", control.ErrNotRegistered), statusFailed,
			"NotRegistered", "holdfast: sync: shop is not registered; see holdfast list"},
		{"nobody answers", fmt.Errorf("%w: nothing was synced; start holdfast-worker", control.ErrNoAnswer), statusFailed,
			"NoAnswer", "holdfast: sync: no worker answers: nothing was synced; start holdfast-worker"},
		{"no Temporal", fmt.Errorf("connect: %w: here; start it", control.ErrUnreachable), statusFailed,
			"Unreachable", "holdfast: sync: connect: temporal does not answer: here; start it"},
		{"wrong settings for Temporal", fmt.Errorf("%w: namespace; create it", control.ErrSettings), statusUsage,
			"Configuration", "holdfast: sync: temporal settings: namespace; create it"},
		{"a query that is none", fmt.Errorf("%w: \"x\": syntax error; write another", control.ErrQuery), statusUsage,
			"Usage", "holdfast: sync: wrong query: \"x\": syntax error; write another"},
		{"taken", fmt.Errorf("%w: r is that of a; give b one", control.ErrTaken), statusFailed,
			"Taken", "holdfast: sync: taken by another database: r is that of a; give b one"},
		{"something of several lines", fmt.Errorf("one\n\ttwo"), statusFailed,
			"Failed", "holdfast: sync: one two"},
	} {
		t.Run(row.name, func(t *testing.T) {
			mustFail(t, invoke(t, &fakeFleet{err: row.err}, nil, "sync", "shop"), row.wantStatus, row.wantLine+"\n")
			for _, flag := range []string{"-o=json", "--json"} {
				checkJSONError(t, invoke(t, &fakeFleet{err: row.err}, nil, "sync", "shop", flag), row.wantStatus, row.wantType, row.wantLine)
			}
		})
	}
}

// checkJSONError compares the one JSON object with the line it stands for.
func checkJSONError(t *testing.T, got outcome, status int, typ, line string) {
	t.Helper()
	var doc struct {
		Error struct{ Type, Message, Hint string }
	}
	if err := json.Unmarshal([]byte(got.stderr), &doc); err != nil || got.stdout != "" || got.status != status {
		t.Fatalf("status %d, stdout %q, stderr %q: %v", got.status, got.stdout, got.stderr, err)
	}
	again := "holdfast: " + doc.Error.Message
	if doc.Error.Hint != "" {
		again += "; " + doc.Error.Hint
	}
	if doc.Error.Type != typ || again != line {
		t.Errorf("got  %+v\nwant %s, %s", doc.Error, typ, line)
	}
}

func TestUsageErrorsAreJSONToo(t *testing.T) {
	for _, args := range []string{"list -o json --colour", "list --colour --json", "status -o json"} {
		got := invoke(t, nil, nil, strings.Fields(args)...)
		if got.status != statusUsage || !strings.HasPrefix(got.stderr, `{"error":{`) || !strings.Contains(got.stderr, `"type":"Usage"`) {
			t.Errorf("%s: got %d, %s", args, got.status, got.stderr)
		}
	}
}

func TestInterruption(t *testing.T) {
	for command, want := range map[string]string{
		"sync": "holdfast: sync: interrupted; it may be done all the same, see holdfast list\n", "status": "holdfast: status: interrupted; nothing was changed\n",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		mustFail(t, invokeWithin(ctx, &fakeFleet{wait: true}, nil, command, "shop"), statusInterrupted, want)
	}
}

func TestStoreErrorsHaveTheTypesOfActivities(t *testing.T) {
	got := invoke(t, nil, []string{"AZURE_STORAGE_KEY=a2V5"}, "restore", "abs://account@backups/x?endpoint=http://127.0.0.1:1/account", "-o", t.TempDir()+"/out.db", "--json")
	if got.status != statusFailed || !strings.Contains(got.stderr, `"type":"`+activities.StoreUnavailable+`"`) {
		t.Errorf("got %d, %s", got.status, got.stderr)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range []string{"", "--help", "help restore", "restore --help"} {
		if out := mustSucceed(t, invoke(t, nil, nil, strings.Fields(args)...)); !strings.Contains(out, "Usage:") {
			t.Errorf("%s: got %q", args, out)
		}
	}
}
