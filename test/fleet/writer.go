package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	_ "github.com/mattn/go-sqlite3" // the applications' driver
)

// writerCommand makes this program the applications: its one argument is an order.
const writerCommand = "write"

// order is what the applications are to do, each with a database of its own.
type order struct {
	Paths  []string
	Every  time.Duration // between two transactions of one application
	Count  int           // of transactions of each
	Spread bool          // begin one after the other within Every, not all at once
	Report string        // file for the commits, as JSON
}

// commits are when each application's transactions began, in ns since 1970.
type commits [][]int64

// write carries out the order in JSON text.
func write(text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	done := make(commits, len(o.Paths))
	errs := make([]error, len(o.Paths))
	begun := time.Now()
	var all sync.WaitGroup
	for i := range o.Paths {
		all.Go(func() {
			next := begun
			if o.Spread {
				next = next.Add(o.Every * time.Duration(i) / time.Duration(len(o.Paths)))
			}
			done[i], errs[i] = o.apply(o.Paths[i], next)
		})
	}
	all.Wait()
	b, err := json.Marshal(done)
	return errors.Join(append(errs, err, os.WriteFile(o.Report, b, 0o600))...)
}

func (o order) apply(path string, next time.Time) (done []int64, err error) {
	db, err := sql.Open("sqlite3", "file:"+path+"?_busy_timeout=10000&_synchronous=NORMAL&_journal_mode=WAL")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	for n := range o.Count {
		time.Sleep(time.Until(next))
		next = next.Add(o.Every)
		begun := time.Now().UnixNano() // it may be shipped before Exec returns
		if _, err := db.Exec("INSERT INTO t(v) VALUES (?)", fmt.Sprintf("%0200d", n)); err != nil {
			return done, fmt.Errorf("%s: %w", path, err)
		}
		done = append(done, begun)
	}
	return done, nil
}

// newDatabase makes a database of so many rows as an application leaves it behind.
func newDatabase(path string, rows int) error {
	db, err := sql.Open("sqlite3", "file:"+path+"?_journal_mode=WAL")
	if err != nil {
		return err
	}
	_, err = db.Exec("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
	if err == nil {
		_, err = db.Exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO t(v) SELECT hex(randomblob(100)) FROM n", rows)
	}
	return errors.Join(err, db.Close())
}
