package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"github.com/holdfast-db/holdfast/internal/ship"
)

// seen is what an application and a sentry saw in one turn.
type seen struct {
	rate float64 // transactions a second

	p50, p99, p999, most float64 // of the time that a transaction took, in ms

	holds  []float64
	log    float64 // largest log, of the limit
	behind float64 // seconds after the last commit until all was durable

	puts     float64 // a second
	putBytes float64 // the mean of them
}

// turns are what was seen beside nothing, Holdfast, Litestream and, where that was
// asked for, a program that puts as many objects as Holdfast and knows of no database.
type turns [4][]seen

const (
	nothing = iota
	ours
	peers
	stranger
)

// view measures what an application notices that inserts as fast as it can.
func (b *bench) view(ctx context.Context) error {
	for _, speed := range []speed{byDefault, fastest} {
		full, err := b.look(ctx, speed, order{})
		if err != nil {
			return err
		}
		b.results.begin(fmt.Sprintf("The application inserts small transactions at full speed: %s setting", speed))
		b.reportFull(full)
	}
	return nil
}

// paced measures what one notices that inserts 500 times a second. A commit that
// does not wait for the disk takes microseconds, of which the busy machine is a
// part: the store is on it too. So one that does wait is shown as well and, at the
// fastest setting, with its put for each commit, what such puts cost whoever makes them.
func (b *bench) paced(ctx context.Context) error {
	b.results.begin("The application inserts 500 small transactions a second")
	for _, kind := range []struct {
		speed speed
		o     order
	}{
		{byDefault, order{Rate: 500}},
		{fastest, order{Rate: 500}},
		{byDefault, order{Rate: 500, Full: true}},
	} {
		kind.o.Stranger = kind.speed == fastest
		t, err := b.look(ctx, kind.speed, kind.o)
		if err != nil {
			return err
		}
		of := fmt.Sprintf("%s setting", kind.speed)
		if kind.o.Full {
			of += ", synchronous=FULL"
		}
		b.reportPaced(of, t)
	}
	return nil
}

func (b *bench) reportPaced(of string, t turns) {
	for _, l := range []struct {
		what   string
		wanted target
		value  func(seen) float64
	}{
		{"p50", noTarget, func(s seen) float64 { return 1000 * s.p50 }},
		{"p99", atMost(1.2, "<= 1.2"), func(s seen) float64 { return 1000 * s.p99 }},
	} {
		one := line{Row: "paced", What: of + ": " + l.what, Unit: "x", Holdfast: t.relative(ours, nothing, l.value), Peer: t.relative(peers, nothing, l.value),
			Note: fmt.Sprintf("beside nothing %.0f us", median(t.values(nothing, l.value)))}
		if len(t[stranger]) == 0 {
			b.results.add(one, l.wanted)
			continue
		}
		b.results.add(one, noTarget)
		b.results.add(line{Row: "paced", What: "  beside as many puts by others", Unit: "x", Holdfast: t.relative(ours, stranger, l.value), Peer: t.relative(peers, stranger, l.value),
			Note: fmt.Sprintf("beside them %.0f us", median(t.values(stranger, l.value)))}, l.wanted)
	}
}

func (b *bench) reportFull(full turns) {
	rate := func(s seen) float64 { return s.rate }
	beside := func(what, unit string, of func(seen) float64) {
		b.results.add(line{Row: "view", What: what + " beside nothing", Unit: unit, Nothing: full.values(nothing, of)}, noTarget)
	}
	add := func(l line, t target, of func(seen) float64) {
		l.Row, l.Holdfast, l.Peer = "view", full.values(ours, of), full.values(peers, of)
		b.results.add(l, t)
	}
	most := func(s seen) float64 { return s.most }
	p999 := func(s seen) float64 { return s.p999 }
	beside("rate", "/s", rate)
	b.results.add(line{Row: "view", What: "rate, of that beside nothing", Unit: "x",
		Holdfast: full.relative(ours, nothing, rate), Peer: full.relative(peers, nothing, rate)}, atLeast(0.7, ">= 0.7"))
	b.results.add(line{Row: "view", What: "holds of the write lock, p99.9", Unit: "ms",
		Holdfast: full.allHolds(ours, 0.999), Peer: full.allHolds(peers, 0.999)}, below(100, "< 100 ms"))
	b.results.add(line{Row: "view", What: "longest hold of the write lock", Unit: "ms",
		Holdfast: full.allHolds(ours, 1), Peer: full.allHolds(peers, 1)}, below(250, "< 250 ms"))
	add(line{What: "holds of the write lock", Unit: "/s"}, noTarget, func(s seen) float64 { return float64(len(s.holds)) / b.span(lookSpan).Seconds() })
	beside("commit, p99.9,", "ms", p999)
	add(line{What: "commit, p99.9", Unit: "ms"}, below(100, "< 100 ms"), p999)
	beside("longest commit", "ms", most)
	add(line{What: "longest commit", Unit: "ms", Worst: true}, below(250, "< 250 ms"), most)
	add(line{What: "largest log, of Holdfast's wal-limit", Unit: "x", Worst: true}, atMost(4, "<= 4"), func(s seen) float64 { return s.log })
	add(line{What: "until all is durable, after the last commit", Unit: "s", Worst: true}, noTarget, func(s seen) float64 { return s.behind })
}

// lookSpan is how long the application works in one turn.
const lookSpan = 10 * time.Second

// look runs the application in turns.
func (b *bench) look(ctx context.Context, speed speed, o order) (t turns, err error) {
	o.Work, o.Span = insert, b.span(lookSpan)
	rounds := b.rounds
	if o.Rate > 0 {
		rounds *= 2 // what takes microseconds differs more from turn to turn
	}
	for range rounds {
		for i, p := range append([]product{nil}, b.products...) {
			one, err := b.lookOnce(ctx, p, speed, o)
			if err != nil {
				return t, err
			}
			t[i] = append(t[i], one)
		}
		if o.Stranger {
			one, err := b.lookBeside(ctx, t[ours][len(t[ours])-1], o)
			if err != nil {
				return t, err
			}
			t[stranger] = append(t[stranger], one)
		}
	}
	return t, nil
}

func (b *bench) lookOnce(ctx context.Context, p product, speed speed, o order) (one seen, err error) {
	s, err := b.newSite(ctx, "", 0)
	if err != nil {
		return one, err
	}
	defer s.remove()
	if p == nil {
		b.progress("view: nothing beside, rate %d", o.Rate)
		one, _, err = s.lookAt(ctx, 0, o)
		return one, err
	}
	b.progress("view: %s, %s setting, rate %d", p.name(), speed, o.Rate)
	run, _, err := s.replicate(ctx, p, speed)
	if err != nil {
		return one, err
	}
	defer func() { err = errors.Join(err, run.end()) }()
	one, done, err := s.lookAt(ctx, run.cmd.Process.Pid, o)
	if err != nil {
		return one, err
	}
	at, err := s.watch.durable(ctx, run, done.Last, patience)
	one.behind = float64(at.UnixNano()-done.End) / 1e9
	one.puts, one.putBytes = s.watch.rate(b.span(lookSpan))
	return one, err
}

// lookBeside runs the application beside puts as those that were seen, of nobody who
// knows the database.
func (b *bench) lookBeside(ctx context.Context, as seen, o order) (one seen, err error) {
	s, err := b.newSite(ctx, "", 0)
	if err != nil {
		return one, err
	}
	defer s.remove()
	b.progress("view: %.0f puts a second by others, rate %d", as.puts, o.Rate)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.putAlong(ctx, as) }()
	one, _, err = s.lookAt(ctx, 0, o)
	cancel()
	return one, errors.Join(err, <-done)
}

// putAlong puts objects until ctx ends.
func (s *site) putAlong(ctx context.Context, as seen) error {
	body := make([]byte, int(as.putBytes))
	_, _ = rand.Read(body)
	client, err := azblob.NewClientWithSharedKeyCredential(s.watch.url, s.bench.credential, nil)
	if err != nil {
		return err
	}
	begun := time.Now()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(begun.Add(time.Duration(float64(n) / as.puts * float64(time.Second))))):
		}
		if _, err := client.UploadBuffer(ctx, s.container, fmt.Sprintf("elsewhere/%d", n), body, nil); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// lookAt lets the application work while the process pid replicates.
func (s *site) lookAt(ctx context.Context, pid int, o order) (seen, report, error) {
	watching := guard(s.db, pid)
	done, err := s.run(ctx, o)
	if err = errors.Join(err, watching.relieve()); err != nil {
		return seen{}, done, err
	}
	return summarize(done, watching), done, nil
}

func summarize(r report, watching *sentry) seen {
	took := make([]float64, len(r.Begun))
	for i := range took {
		took[i] = float64(r.Ended[i]-r.Begun[i]) / 1e6
	}
	slices.Sort(took)
	return seen{
		rate: float64(len(took)) / (float64(r.End-r.Start) / 1e9),
		p50:  quantile(took, 0.5), p99: quantile(took, 0.99), p999: quantile(took, 0.999), most: quantile(took, 1),
		holds: watching.holds, log: float64(watching.logBytes) / ship.DefaultWALLimit,
	}
}

// values returns one figure of each turn.
func (t turns) values(who int, of func(seen) float64) []float64 {
	var found []float64
	for _, s := range t[who] {
		found = append(found, of(s))
	}
	return found
}

// allHolds returns a quantile of the holds of all turns.
func (t turns) allHolds(who int, q float64) []float64 {
	var found []float64
	for _, s := range t[who] {
		found = append(found, s.holds...)
	}
	return []float64{quantile(found, q)}
}

// relative returns one figure of each turn, divided by that beside another. Turns
// too short for one are left out.
func (t turns) relative(who, other int, of func(seen) float64) []float64 {
	var found []float64
	for i, s := range t[who] {
		if beside := of(t[other][i]); beside > 0 {
			found = append(found, of(s)/beside)
		}
	}
	return found
}
