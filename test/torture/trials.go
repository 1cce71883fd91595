package main

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// shipLongWithin is how long the worker may take for gigabytes.
const shipLongWithin = 30 * time.Minute

// largeTransaction ships one transaction of 1 GiB of noise.
func (r *rig) largeTransaction(longOptions) error {
	a, err := r.begin(false)
	if err != nil {
		return err
	}
	if err := r.startWorker(); err != nil {
		return err
	}
	if err := r.awaitShipped(time.Now(), shipWithin); err != nil {
		return err
	}
	begun := time.Now()
	if err := r.bulk(a, bump, "INSERT INTO t(k, b) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1024) SELECT i, randomblob(1048576) FROM c;"); err != nil {
		return err
	}
	say("committed 1 GiB at once in %v, the log has %d MiB", time.Since(begun).Round(time.Millisecond), r.logSize()/mib)
	return r.compareFiles(shipLongWithin)
}

// largeDatabase ships the first state of a database that goes beyond 4 GiB, and
// then changes on both sides of that and of the page that holds SQLite's locks.
func (r *rig) largeDatabase(longOptions) error {
	a, err := r.begin(false)
	if err != nil {
		return err
	}
	begun := time.Now()
	for range 17 {
		if err := r.fill(a, 256); err != nil {
			return err
		}
	}
	say("filled the database in %v", time.Since(begun).Round(time.Second))
	begun = time.Now()
	if err := r.startWorker(); err != nil {
		return err
	}
	if err := r.awaitShipped(begun, shipLongWithin); err != nil {
		return err
	}
	say("first state shipped in %v", time.Since(begun).Round(time.Millisecond))
	if err := r.fill(a, 100); err != nil {
		return err
	}
	if err := r.bulk(a, bump, "UPDATE t SET k = k + 1 WHERE id % 37 = 1;", "DELETE FROM t WHERE id % 41 = 1;"); err != nil {
		return err
	}
	if err := r.compareFiles(shipLongWithin); err != nil {
		return err
	}
	info, err := os.Stat(r.path())
	if err == nil && info.Size() <= 4*gib {
		err = fmt.Errorf("the database has only %d bytes", info.Size())
	}
	return err
}

// fill adds some MiB in one transaction, of which little is content.
func (r *rig) fill(a *app, size int) error {
	return r.bulk(a, bump, fmt.Sprintf("INSERT INTO t(k, b) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < %d) SELECT i, zeroblob(1048576) FROM c;", size))
}

// bulk makes one transaction, which may take its time.
func (r *rig) bulk(a *app, statements ...string) error {
	_, err := a.runWithin(shipLongWithin, append(append([]string{"BEGIN IMMEDIATE;"}, statements...), "COMMIT;")...)
	return err
}

// reservedBytes replicates a database whose pages keep 8 bytes for checksums, as
// SQLite's checksum extension has them.
func (r *rig) reservedBytes(longOptions) error {
	a, err := r.begin(true)
	if err != nil {
		return err
	}
	lines, err := a.run(".filectrl reserve_bytes 8", "VACUUM;")
	if err != nil {
		return fmt.Errorf("reserve bytes: %w", err)
	}
	r.note("reserve bytes: %v", lines)
	if err := errors.Join(r.startWorker(), r.observe(), r.awaitShipped(time.Now(), shipWithin)); err != nil {
		return err
	}
	for n := range 300 {
		if err := r.transact(a, "COMMIT;", bump, insertRows(1+n%9, 100*n%7000), fmt.Sprintf("DELETE FROM t WHERE id %% 7 = %d;", n%7)); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
		if n%100 == 99 {
			if err := r.alone(a, "VACUUM", "VACUUM;"); err != nil {
				return err
			}
		}
	}
	_, b, err := r.observer.image()
	if err != nil {
		return err
	}
	const reservedAt = 20 // in the database's header
	if b[reservedAt] != 8 {
		return fmt.Errorf("pages have %d reserved bytes, want 8: this sqlite3 program did not do as it was told", b[reservedAt])
	}
	return r.compareFiles(shipWithin)
}

// longReader holds a read transaction open while another application writes.
func (r *rig) longReader(opts longOptions) error {
	r.walLimit = 4 * mib
	writer, err := r.begin(false)
	if err != nil {
		return err
	}
	reader, err := startApp("reader", false, r.path())
	if err != nil {
		return err
	}
	r.apps = append(r.apps, reader)
	if err := r.startWorker(); err != nil {
		return err
	}
	before, err := reader.run("BEGIN;", "SELECT count(*) FROM t;")
	if err != nil {
		return err
	}
	transactions, largest := 0, int64(0)
	for end := time.Now().Add(opts.reader); time.Now().Before(end); transactions++ {
		if err := errors.Join(r.ctx.Err(), r.worker.err()); err != nil {
			return err
		}
		if _, err := writer.run("BEGIN IMMEDIATE;", bump, insertRows(3, 2000), "DELETE FROM t WHERE id < (SELECT max(id) - 20000 FROM t);", "COMMIT;"); err != nil {
			return err
		}
		largest = max(largest, r.logSize())
		time.Sleep(50 * time.Millisecond)
	}
	after, err := reader.run("SELECT count(*) FROM t;", "COMMIT;")
	if err != nil {
		return err
	}
	if before[0] != after[0] {
		return fmt.Errorf("the reader saw %s rows, then %s", before[0], after[0])
	}
	say("%d transactions in %v beside a reader; the log grew to %d MiB", transactions, opts.reader, largest/mib)
	return r.compareFiles(shipLongWithin)
}

// logSize returns the bytes of the log's file.
func (r *rig) logSize() int64 {
	info, err := os.Stat(r.path() + "-wal")
	if err != nil {
		return 0
	}
	return info.Size()
}
