// Command fleet measures one worker with many databases, beside the stack that runs
// around it: what they cost while nothing is committed, and how late they are when
// something is.
//
// It runs inside `make bench-fleet` and prints a table. All shares the same processors:
// the applications, the worker, Temporal and the store.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are what can be asked for.
type options struct {
	bin   string
	rows  string
	count int           // of databases
	span  time.Duration // of rest, and of load
	keep  bool
}

// rows are measured in this order.
var rows = []struct {
	name string
	run  func(*fleet, context.Context) error
}{
	{"idle", (*fleet).idle},
	{"start", (*fleet).starts},
	{"wake", (*fleet).wake},
	{"large", (*fleet).large},
	{"latency", (*fleet).latency},
	{"load", (*fleet).load},
	{"away", (*fleet).away},
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == writerCommand {
		exit(write(os.Args[2]))
	}
	var o options
	flag.StringVar(&o.bin, "bin", ".build", "directory of the programs")
	flag.StringVar(&o.rows, "rows", "", "names of rows, by comma; empty for all")
	flag.IntVar(&o.count, "n", 1000, "databases")
	flag.DurationVar(&o.span, "for", 5*time.Minute, "how long rest is measured, and Temporal is away; a fifth of it for load")
	flag.BoolVar(&o.keep, "keep", false, "leave databases and logs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(measure(ctx, o))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "fleet: %v\n", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func measure(ctx context.Context, o options) error {
	f, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer f.close()
	wanted := strings.Split(o.rows, ",")
	for _, row := range rows {
		if o.rows != "" && !slices.Contains(wanted, row.name) {
			continue
		}
		if err := row.run(f, ctx); err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
	}
	return f.failed
}

// endpoints are where the stack listens.
type endpoints struct {
	Temporal         string `json:"temporal"`
	Blob             string `json:"blob"`
	ConnectionString string `json:"connection_string"`
	Account          string `json:"account"`
	Container        string `json:"container"`
}

func readEndpoints() (at endpoints, err error) {
	const variable = "HOLDFAST_TEST_STACK"
	given := os.Getenv(variable)
	if given == "" {
		return at, fmt.Errorf("%s is not set: run this through `make bench-fleet`", variable)
	}
	if err := json.Unmarshal([]byte(given), &at); err != nil {
		return at, fmt.Errorf("read %s: %w", variable, err)
	}
	return at, nil
}
