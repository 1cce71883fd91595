package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/holdfast-db/holdfast/workflows"
)

// startWithin bounds what is waited for.
const startWithin = 10 * time.Minute

// idle lets all databases rest, open and then closed, and measures what that costs.
func (f *fleet) idle(ctx context.Context) error {
	for _, kind := range []struct{ name, cold string }{{"warm", "0s"}, {"cold", "5s"}} {
		c, err := f.newCrowd(f.count, false, "sync: {idle-after: 5s, cold-after: "+kind.cold+"}")
		if err != nil {
			return err
		}
		if err := c.start(); err != nil {
			return err
		}
		err = c.rest(ctx, kind.name)
		c.end(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *crowd) rest(ctx context.Context, kind string) error {
	first, err := c.until(ctx, "first pass", startWithin, c.reached(nil))
	if err != nil {
		return err
	}
	c.say("idle", fmt.Sprintf("%d databases registered and shipped, %s", len(c.names), kind), seconds(first), true, "")
	if _, err := c.until(ctx, "idle", startWithin, c.parked); err != nil {
		return err
	}
	if !pause(ctx, 90*time.Second) { // for what follows an end of work: memory is given back
		return ctx.Err()
	}
	events, err := c.events(ctx)
	if err != nil {
		return err
	}
	busy, requests := c.processor(), c.requests.Load()
	if !pause(ctx, c.span) {
		return ctx.Err()
	}
	share := 100 * (c.processor() - busy).Seconds() / c.span.Seconds()
	requests = c.requests.Load() - requests
	after, err := c.events(ctx)
	if err != nil {
		return err
	}
	c.say("idle", kind+": processor of the worker", fmt.Sprintf("%.2f %%", share), share < 1, "< 1 %")
	memory := float64(c.memoryOf("VmRSS:")) / (1 << 20)
	c.say("idle", kind+": memory of the worker", fmt.Sprintf("%.1f MiB", memory), memory < 100, "< 100 MiB")
	c.say("idle", kind+": its open files", strconv.Itoa(c.descriptors()), true, "")
	c.say("idle", fmt.Sprintf("%s: requests to the store in %v", kind, c.span), fmt.Sprint(requests), requests == 0, "0")
	c.say("idle", fmt.Sprintf("%s: events of all workflows in %v", kind, c.span), fmt.Sprint(after-events), after == events, "0")
	return nil
}

// starts starts the worker again with databases that it has had.
func (f *fleet) starts(ctx context.Context) error {
	c, err := f.newCrowd(f.count, false, "metrics: {listen: '"+metricsAddress+"'}")
	if err != nil {
		return err
	}
	if err := c.start(); err != nil {
		return err
	}
	defer c.end(ctx)
	first, err := c.until(ctx, "first pass", startWithin, c.reached(nil))
	if err != nil {
		return err
	}
	c.say("start", fmt.Sprintf("%d new databases: first pass of all", len(c.names)), seconds(first), first < time.Minute, "< 60 s")
	if !pause(ctx, 20*time.Second) { // for what follows it
		return ctx.Err()
	}
	if err := c.stop(); err != nil {
		return err
	}
	if err := c.start(); err != nil {
		return err
	}
	again, err := c.until(ctx, "first pass again", startWithin, c.passed)
	if err != nil {
		return err
	}
	c.say("start", fmt.Sprintf("%d known databases: first pass of all", len(c.names)), seconds(again), again < time.Minute, "< 60 s")
	return nil
}

// wake commits once in each database, all at once, while all are closed.
func (f *fleet) wake(ctx context.Context) error {
	c, err := f.newCrowd(f.count, false, "sync: {idle-after: 5s, cold-after: 5s}")
	if err != nil {
		return err
	}
	if err := c.start(); err != nil {
		return err
	}
	defer c.end(ctx)
	if _, err := c.until(ctx, "idle", startWithin, c.parked); err != nil {
		return err
	}
	if !pause(ctx, 20*time.Second) {
		return ctx.Err()
	}
	want, err := c.heads()
	if err != nil {
		return err
	}
	for name := range want {
		want[name]++
	}
	begun := time.Now()
	if _, err := c.write(ctx, order{Paths: c.paths, Every: time.Second, Count: 1}); err != nil {
		return err
	}
	if _, err := c.until(ctx, "woken", startWithin, c.reached(want)); err != nil {
		return err
	}
	took := time.Since(begun)
	c.say("wake", fmt.Sprintf("%d closed databases change at once: all shipped", len(c.names)), seconds(took), took < time.Minute, "< 60 s")
	if _, err := c.until(ctx, "idle again", startWithin, c.parked); err != nil {
		return err
	}
	failed, err := c.failedTasks(ctx)
	c.say("wake", "failed workflow tasks", strconv.Itoa(failed), failed == 0, "0")
	return err
}

// large has a worker begin with databases that are large, all at once.
func (f *fleet) large(ctx context.Context) error {
	const rows = 300_000 // 64 MiB
	c, err := f.newCrowdOf(rows, f.count/20, false, "")
	if err != nil {
		return err
	}
	if err := c.start(); err != nil {
		return err
	}
	defer c.end(ctx)
	first, err := c.until(ctx, "first pass", startWithin, c.reached(nil))
	if err != nil {
		return err
	}
	c.say("large", fmt.Sprintf("%d new databases of 64 MiB: first pass of all", len(c.names)), seconds(first), true, "")
	peak := float64(c.memoryOf("VmHWM:")) / (1 << 20)
	c.say("large", "peak memory of the worker", fmt.Sprintf("%.0f MiB", peak), peak < 512, "< 512 MiB")
	return nil
}

// latency commits into one resting database after the other.
func (f *fleet) latency(ctx context.Context) error {
	c, err := f.newCrowd(min(f.count, 100), true, "sync: {idle-after: 5s}")
	if err != nil {
		return err
	}
	if err := c.start(); err != nil {
		return err
	}
	defer c.end(ctx)
	if _, err := c.until(ctx, "idle", startWithin, c.parked); err != nil {
		return err
	}
	if !pause(ctx, 10*time.Second) {
		return ctx.Err()
	}
	done, err := c.write(ctx, order{Paths: c.paths, Every: 300 * time.Millisecond * time.Duration(len(c.paths)), Count: 1, Spread: true})
	if err != nil {
		return err
	}
	if !pause(ctx, 5*time.Second) {
		return ctx.Err()
	}
	lags, err := c.lags(done)
	if err != nil {
		return err
	}
	p95 := quantile(lags, 0.95)
	c.say("latency", fmt.Sprintf("first commit after a rest to durable, p95 of %d", len(lags)), milliseconds(p95), p95 < 300*time.Millisecond, "< 300 ms")
	return nil
}

// load commits once a second in each database. The store is a directory in memory: what
// Azurite takes of the same processors for as many puts leaves none.
func (f *fleet) load(ctx context.Context) error {
	for _, kind := range []struct {
		count  int
		target time.Duration
		memory bool
	}{{f.count / 10, 1200 * time.Millisecond, true}, {f.count / 2, 3 * time.Second, true}, {f.count / 10, 1200 * time.Millisecond, false}} {
		if err := f.loaded(ctx, kind.count, kind.target, kind.memory); err != nil {
			return err
		}
	}
	return nil
}

func (f *fleet) loaded(ctx context.Context, count int, target time.Duration, memory bool) error {
	c, err := f.newCrowd(count, memory, "")
	if err != nil {
		return err
	}
	if err := c.start(); err != nil {
		return err
	}
	defer c.end(ctx)
	if _, err := c.until(ctx, "first pass", startWithin, c.reached(nil)); err != nil {
		return err
	}
	if !pause(ctx, 10*time.Second) {
		return ctx.Err()
	}
	span := c.span / 5
	busy := c.processor()
	done, err := c.write(ctx, order{Paths: c.paths, Every: time.Second, Count: int(span / time.Second), Spread: true})
	if err != nil {
		return err
	}
	share := 100 * (c.processor() - busy).Seconds() / span.Seconds()
	if !pause(ctx, 10*time.Second) {
		return ctx.Err()
	}
	lags, err := c.lags(done)
	if err != nil {
		return err
	}
	where := map[bool]string{true: "store in memory", false: "Azurite"}[memory]
	p50, p99 := quantile(lags, 0.5), quantile(lags, 0.99)
	c.say("load", fmt.Sprintf("%d databases at 1 tx/s, %s: lag p50", count, where), milliseconds(p50), true, "")
	c.say("load", fmt.Sprintf("%d databases at 1 tx/s, %s: lag p99", count, where), milliseconds(p99), p99 < target, "< "+milliseconds(target))
	c.say("load", fmt.Sprintf("%d databases at 1 tx/s, %s: processor", count, where), fmt.Sprintf("%.0f %%", share), true, "")
	return nil
}

// quantile returns the value that share of all are not above.
func quantile(all []time.Duration, share float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(share*float64(len(all))))]
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func milliseconds(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

// pause waits; it reports false when ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// events adds up the lengths of all histories.
func (c *crowd) events(ctx context.Context) (sum int64, err error) {
	for _, name := range c.names {
		d, err := c.temporal.DescribeWorkflowExecution(ctx, workflows.WorkflowID(name), "")
		if err != nil {
			return 0, err
		}
		sum += d.GetWorkflowExecutionInfo().GetHistoryLength()
	}
	return sum, nil
}

// failedTasks counts workflow tasks that failed or timed out.
func (c *crowd) failedTasks(ctx context.Context) (n int, err error) {
	for _, name := range c.names {
		history := c.temporal.GetWorkflowHistory(ctx, workflows.WorkflowID(name), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for history.HasNext() {
			e, err := history.Next()
			if err != nil {
				return n, err
			}
			if e.EventType == enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED {
				n++
			}
		}
	}
	return n, nil
}

// processor is how long the worker has kept a core busy.
func (c *crowd) processor() time.Duration {
	text, _ := os.ReadFile(c.proc("stat"))
	_, after, _ := strings.Cut(string(text), ") ") // the name may hold anything
	fields := strings.Fields(after)
	const user, system, ticks = 11, 12, 100 // a tick is 10 ms on Linux, for programs
	if len(fields) <= system {
		return 0
	}
	a, _ := strconv.Atoi(fields[user])
	b, _ := strconv.Atoi(fields[system])
	return time.Duration(a+b) * time.Second / ticks
}

// memoryOf is a line of the worker's status, in bytes.
func (c *crowd) memoryOf(line string) int64 {
	text, _ := os.ReadFile(c.proc("status"))
	_, after, _ := strings.Cut(string(text), line)
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0
	}
	kibibytes, _ := strconv.ParseInt(fields[0], 10, 64)
	return kibibytes << 10
}

func (c *crowd) descriptors() int {
	entries, _ := os.ReadDir(c.proc("fd"))
	return len(entries)
}

func (c *crowd) proc(name string) string {
	return filepath.Join("/proc", strconv.Itoa(c.worker.Process.Pid), name)
}
