package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast/internal/maintain"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// pointing is what the flags of points say.
type pointing struct {
	config string
	all    bool
}

// pointsAnswer is the answer of points as JSON has it.
type pointsAnswer struct {
	Replica string      `json:"replica"`
	Objects int         `json:"objects"`
	Bytes   int64       `json:"bytes"`
	Expired int         `json:"expired"` // objects that no state of the last week needs
	Spans   []ageView   `json:"spans"`
	Lost    []lostView  `json:"lost,omitempty"`
	Points  []pointView `json:"points,omitempty"` // with --all
}

type pointView struct {
	TXID    string     `json:"txid"`
	Created *time.Time `json:"created"`
}

type ageView struct {
	Age     string    `json:"age"`
	States  int       `json:"states"`
	First   pointView `json:"first"`
	Last    pointView `json:"last"`
	Typical float64   `json:"typical_seconds"` // between two states; 0 for one
}

type lostView struct {
	Min string `json:"min"`
	Max string `json:"max"`
}

func (a *app) points() *cobra.Command {
	var p pointing
	c := &cobra.Command{
		Use:   "points URL|NAME",
		Short: "Show which states of a database can be restored",
		Long: `Show which states of a database can be restored, by their age, and how far they are apart: each TXID or time in
between restores with restore --txid or --at. It lists the replica and reads nothing else.`,
		Example: `  holdfast points shop
  holdfast points abs://account@backups/prod/shop --all`,
		Args: arguments("URL or NAME", 1, 1),
		RunE: func(c *cobra.Command, args []string) error { return a.doPoints(c.Context(), p, args[0]) },
	}
	c.Flags().BoolVar(&p.all, "all", false, "print each state")
	c.Flags().StringVar(&p.config, "config", "", "configuration file, for the azure settings (default: holdfast.yml, /etc/holdfast/holdfast.yml)")
	return c
}

func (a *app) doPoints(ctx context.Context, p pointing, from string) error {
	source, url, err := a.source(ctx, p.config, from)
	if err != nil {
		return err
	}
	objects, err := source.All(ctx)
	if err != nil {
		return err
	}
	points, lost := plan.Points(replica.Files(objects))
	if len(points) == 0 && len(lost) == 0 {
		return noReplica(url)
	}
	v := pointsAnswer{Replica: url, Objects: len(objects)}
	for _, o := range objects {
		v.Bytes += o.Size
	}
	v.Expired = len(plan.Retention(replica.Files(objects), maintain.DefaultPolicy, nil, a.now()))
	for _, s := range plan.Spans(points, a.now()) {
		v.Spans = append(v.Spans, ageView{s.Name, s.Points, viewPoint(s.First), viewPoint(s.Last), s.Typical.Seconds()})
	}
	for _, r := range lost {
		v.Lost = append(v.Lost, lostView{r.Min.String(), r.Max.String()})
	}
	if p.all {
		for _, one := range points {
			v.Points = append(v.Points, viewPoint(one))
		}
	}
	return a.emit(v, v.print)
}

func viewPoint(p plan.Point) pointView { return pointView{p.TXID.String(), instant(p.Created)} }

func (v pointsAnswer) print(w io.Writer) {
	if len(v.Points) > 0 {
		var rows [][]string
		for _, p := range v.Points {
			rows = append(rows, []string{p.TXID, pointed(p.Created)})
		}
		table(w, []string{"TXID", "CREATED"}, rows)
		fmt.Fprintln(w)
	}
	var rows [][]string
	for _, s := range v.Spans {
		apart := "-"
		if s.Typical > 0 {
			apart = time.Duration(s.Typical * float64(time.Second)).Round(time.Millisecond).String()
		}
		rows = append(rows, []string{s.Age, fmt.Sprint(s.States), apart, s.First.TXID, pointed(s.First.Created), s.Last.TXID, pointed(s.Last.Created)})
	}
	table(w, []string{"AGE", "STATES", "APART", "FROM TXID", "OF", "TO TXID", "OF"}, rows)
	fmt.Fprintf(w, "%d objects, %s; holdfast maintain would remove %d of them\n", v.Objects, mebibytes(v.Bytes), v.Expired)
	for _, l := range v.Lost {
		fmt.Fprintf(w, "no state from TXID %s to %s can be restored: an object that they need is missing\n", l.Min, l.Max)
	}
}
