// Command bench measures Holdfast beside Litestream, on the same machine, the
// same Azurite and in the same run, prints a table and writes it as JSON. No
// figure of either is written down anywhere: each is measured.
//
// Holdfast runs as its users run it: a holdfast-worker process, registered with
// the stack's Temporal. Litestream runs as `litestream replicate`. Each reaches
// the store through a proxy of this process, a fresh one for each run. The
// application is a process of its own as well: this program, started again.
//
// # When a transaction is durable
//
// The same for both, and without asking either. Each transaction that counts
// writes its number into one row of the table mark, which alone fills page 2.
// The proxy keeps the beginning of each object that is put. As pages ascend in
// an LTX file, that holds page 2 if the object has it, and so the number of the
// newest transaction in the object. The put's time is that of the store's
// answer of success (to the block list, for an object in blocks), after the way
// back if the store is said to be some milliseconds away. A transaction is
// durable from the first put whose number is its own or a later one: both
// products put their objects in the order of their transactions. Lag is from the
// return of the commit, as the application saw it, until then.
//
// The distance of the store is a wait in the proxy, half of it before a request
// is forwarded and half of it before its answer is.
//
// # How long the write lock is held
//
// SQLite's write lock is a lock of the system on one byte of the -shm file. This
// process asks the system who holds it, every half millisecond, which disturbs
// nobody. A hold is an unbroken row of answers that name the product's process.
//
// # Pairs
//
// What is compared is run in turns: nothing, Holdfast, Litestream, and again.
// Ratios are of one turn; medians of those are shown.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == applicationCommand {
		exit(application(os.Args[2]))
	}
	var o options
	flag.StringVar(&o.bin, "bin", ".build", "directory of the programs")
	flag.StringVar(&o.out, "out", "bench/results.json", "file to write the results to")
	flag.StringVar(&o.rows, "rows", "all", "rows to measure, separated by commas: "+strings.Join(rowNames(), ", "))
	flag.Float64Var(&o.size, "size", 1, "scale of sizes and times; the targets are for 1")
	flag.IntVar(&o.rounds, "rounds", 2, "how often each comparison is made")
	flag.BoolVar(&o.keep, "keep", false, "keep the directories with logs, databases and a list of what was put")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, o))
}

func exit(err error) {
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "bench: interrupted")
		os.Exit(130)
	case err != nil:
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// options are what the command line says.
type options struct {
	bin, out, rows string
	size           float64
	rounds         int
	keep           bool
}

// row is a group of lines of the table that are measured together.
type row struct {
	name    string
	measure func(*bench, context.Context) error
}

var rows = []row{
	{"lag", (*bench).lag},
	{"insert", (*bench).insert},
	{"restore", (*bench).snapshotAndRestore},
	{"chain", (*bench).chain},
	{"delta", (*bench).delta},
	{"memory", (*bench).memory},
	{"view", (*bench).view},
	{"paced", (*bench).paced},
}

func rowNames() []string {
	var names []string
	for _, r := range rows {
		names = append(names, r.name)
	}
	return names
}

// chosen returns the rows that text names.
func chosen(text string) ([]row, error) {
	if text == "all" {
		return rows, nil
	}
	var found []row
	for name := range strings.SplitSeq(text, ",") {
		before := len(found)
		for _, r := range rows {
			if r.name == strings.TrimSpace(name) {
				found = append(found, r)
			}
		}
		if len(found) == before {
			return nil, fmt.Errorf("no row %q; there are %s", name, strings.Join(rowNames(), ", "))
		}
	}
	return found, nil
}

// run measures what o asks for.
func run(ctx context.Context, o options) error {
	wanted, err := chosen(o.rows)
	if err != nil {
		return err
	}
	if o.size <= 0 || o.rounds < 1 {
		return fmt.Errorf("size %g and rounds %d must be positive", o.size, o.rounds)
	}
	b, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer b.close()
	b.results.printHead(os.Stdout)
	for _, r := range wanted {
		if err := r.measure(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	b.results.printFoot(os.Stdout)
	return b.results.write(o.out)
}
