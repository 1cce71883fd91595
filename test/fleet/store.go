package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// object is one put of one database.
type object struct {
	txid     uint64
	captured time.Time // after its last commit was
	durable  time.Time // since when it is in the store
}

// put splits the path of an object of level 0 below the crowd's root; ok is false for
// any other.
func put(path string) (name string, txid uint64, ok bool) {
	dir, file := filepath.Split(path)
	name, ok = strings.CutSuffix(dir, "/ltx/0/")
	first, _, is := strings.Cut(file, "-")
	if !ok || !is || !strings.HasSuffix(file, ".ltx") {
		return "", 0, false
	}
	txid, err := strconv.ParseUint(first, 16, 64)
	return name, txid, err == nil
}

// heads returns the highest TXID of each database that has any, by name. It asks nothing
// of Azurite, which would answer the worker later for it.
func (c *crowd) heads() (map[string]uint64, error) {
	all, err := c.objects()
	heads := make(map[string]uint64, len(all))
	for name, of := range all {
		for _, o := range of {
			heads[name] = max(heads[name], o.txid)
		}
	}
	return heads, err
}

// walk calls each with all files below the root, which is a directory.
func (c *crowd) walk(each func(path string, info fs.FileInfo)) error {
	root := strings.TrimPrefix(c.root, "file://")
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // made and renamed just now
		}
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			each(strings.TrimPrefix(path, root+"/"), info)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// objects returns all puts of a crowd, by name: as the directory has them, or as they
// went to the store.
func (c *crowd) objects() (map[string][]object, error) {
	all := map[string][]object{}
	if !c.memory {
		c.mu.Lock()
		defer c.mu.Unlock()
		for path, o := range c.puts {
			if name, txid, ok := put(strings.TrimPrefix(path, c.name+"/")); ok {
				o.txid = txid
				all[name] = append(all[name], o)
			}
		}
		return all, nil
	}
	err := c.walk(func(path string, info fs.FileInfo) {
		name, txid, ok := put(path)
		stat, is := info.Sys().(*syscall.Stat_t)
		if !ok || !is {
			return
		}
		all[name] = append(all[name], object{txid: txid, captured: info.ModTime(), durable: time.Unix(stat.Ctim.Sec, stat.Ctim.Nsec)})
	})
	return all, err
}

// reached counts the databases whose head is at least the one in want.
func (c *crowd) reached(want map[string]uint64) func(context.Context) (int, error) {
	return func(context.Context) (n int, err error) {
		heads, err := c.heads()
		for _, name := range c.names {
			if heads[name] >= max(1, want[name]) {
				n++
			}
		}
		return n, err
	}
}

// lags returns how long after each commit it was durable: with the first object in the
// order of TXIDs that was captured after it, by times that are whole milliseconds.
func (c *crowd) lags(done commits) (lags []time.Duration, err error) {
	objects, err := c.objects()
	if err != nil {
		return nil, err
	}
	for i, times := range done {
		of := objects[c.names[i]]
		slices.SortFunc(of, func(a, b object) int { return cmp.Compare(a.txid, b.txid) })
		next := 0
		for _, ns := range times {
			commit := time.Unix(0, ns)
			for next < len(of) && of[next].captured.Before(commit.Truncate(time.Millisecond)) {
				next++
			}
			if next == len(of) {
				return nil, fmt.Errorf("a commit into %s at %v was not shipped", c.names[i], commit)
			}
			lags = append(lags, of[next].durable.Sub(commit))
		}
	}
	return lags, nil
}

// passed counts the databases of which the worker has passed over since its start.
func (c *crowd) passed(ctx context.Context) (n int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+metricsAddress+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil //nolint:nilerr // it does not listen yet
	}
	defer answer.Body.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "holdfast_passes_total{") && strings.Contains(lines.Text(), `outcome="ok"`) {
			n++
		}
	}
	return n, lines.Err()
}

// noted keeps what was put through the proxy.
func (f *fleet) noted(answer *http.Response) error {
	r := answer.Request
	captured, err := time.Parse(time.RFC3339Nano, r.Header.Get("x-ms-meta-litestreamtimestamp"))
	if err != nil || answer.StatusCode != http.StatusCreated {
		return nil //nolint:nilerr // no put of an object
	}
	path := strings.TrimPrefix(r.URL.Path, "/"+f.at.Account+"/"+f.at.Container+"/")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.puts[path] = object{captured: captured, durable: time.Now()}
	return nil
}
