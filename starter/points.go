package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// pointing is what the flags of points say.
type pointing struct {
	retaining
	config string
	all    bool
}

// pointsAnswer is the answer of points as JSON has it.
type pointsAnswer struct {
	Replica string      `json:"replica"`
	Objects int         `json:"objects"`
	Bytes   int64       `json:"bytes"`
	Expired int         `json:"expired"` // objects that no state of the window needs
	Window  float64     `json:"window_seconds"`
	Next    *expiryView `json:"next_expiry,omitempty"`
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

// expiryView is what can be restored no longer than until a time.
type expiryView struct {
	At      *time.Time `json:"at"`
	Objects int        `json:"objects"`
	States  int        `json:"states"`
	First   *pointView `json:"first,omitempty"`
	Last    *pointView `json:"last,omitempty"`
	Shorter bool       `json:"window_ends"`    // else one that is left stands for them
	Then    *pointView `json:"then,omitempty"` // the first state after them
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
between restores with restore --txid or --at. It also says what can be restored no longer than until when, if nothing is
committed any more and holdfast maintain runs. It lists the replica and reads nothing else.`,
		Example: `  holdfast points shop
  holdfast points abs://account@backups/prod/shop --all`,
		Args: arguments("URL or NAME", 1, 1),
		RunE: func(c *cobra.Command, args []string) error { return a.doPoints(c, p, args[0]) },
	}
	p.retaining.flags(c)
	c.Flags().BoolVar(&p.all, "all", false, "print each state")
	c.Flags().StringVar(&p.config, "config", "", "configuration file, for retention and azure settings (default: holdfast.yml, /etc/holdfast/holdfast.yml)")
	return c
}

func (a *app) doPoints(c *cobra.Command, p pointing, from string) error {
	settings, err := a.settings(p.config)
	if err != nil {
		return err
	}
	policy, err := p.policy(c, settings.Retention)
	if err != nil {
		return err
	}
	source, url, err := a.source(c.Context(), p.config, from)
	if err != nil {
		return err
	}
	objects, err := source.All(c.Context())
	if err != nil {
		return err
	}
	files := replica.Files(objects)
	points, lost := plan.Points(files)
	if len(points) == 0 && len(lost) == 0 {
		return noReplica(url)
	}
	v := pointsAnswer{Replica: url, Objects: len(objects)}
	for _, o := range objects {
		v.Bytes += o.Size
	}
	v.Window, v.Expired = policy.Window.Seconds(), len(plan.Retention(files, policy, nil, a.now()))
	if next, ok := plan.NextExpiry(files, policy, a.now()); ok {
		v.Next = viewExpiry(next)
	}
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

func viewExpiry(e plan.Expiry) *expiryView {
	v := &expiryView{At: instant(e.At), Objects: e.Files, States: len(e.States), Shorter: e.Shorter}
	if e.Next.TXID != 0 {
		then := viewPoint(e.Next)
		v.Then = &then
	}
	if len(e.States) > 0 {
		first, last := viewPoint(e.States[0]), viewPoint(e.States[len(e.States)-1])
		v.First, v.Last = &first, &last
	}
	return v
}

func (v *expiryView) print(w io.Writer) {
	fmt.Fprintf(w, "next to expire: on %s, %d objects", pointed(v.At), v.Objects)
	if v.States == 0 {
		fmt.Fprintln(w, "; no state is lost by that")
		return
	}
	fmt.Fprintf(w, "; %d states, of TXID %s, %s, to %s, %s", v.States, v.First.TXID, pointed(v.First.Created), v.Last.TXID, pointed(v.Last.Created))
	switch {
	case v.Then == nil:
		fmt.Fprintln(w, ", cannot be restored any more then")
	case v.Shorter:
		fmt.Fprintf(w, ", cannot be restored any more then: the first is TXID %s of %s\n", v.Then.TXID, pointed(v.Then.Created))
	default:
		fmt.Fprintf(w, ", become coarser then: of these moments only what is before them, and TXID %s of %s, can be restored\n", v.Then.TXID, pointed(v.Then.Created))
	}
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
	if v.Next != nil {
		v.Next.print(w)
	}
	for _, l := range v.Lost {
		fmt.Fprintf(w, "no state from TXID %s to %s can be restored: an object that they need is missing\n", l.Min, l.Max)
	}
}
