package main

import (
	"fmt"
	"math/rand/v2"
)

// bump is the first statement of each transaction.
const bump = "UPDATE v SET n = n + 1;"

// insertRows inserts rows of size bytes each, give or take some.
func insertRows(rows, size int) string {
	return fmt.Sprintf("INSERT INTO t(k, b) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < %d) "+
		"SELECT i * 7919 %% 97, randomblob(%d + i %% 50) FROM c;", rows, size)
}

// shrink deletes when the database has grown large: every second row, and all of
// the second table.
var shrink = []string{
	fmt.Sprintf("DELETE FROM t WHERE id %% 2 = (SELECT n %% 2 FROM v) AND (SELECT page_count * page_size FROM pragma_page_count, pragma_page_size) > %d;", largeData),
	fmt.Sprintf("DELETE FROM u WHERE (SELECT page_count * page_size FROM pragma_page_count, pragma_page_size) > %d;", largeData),
}

// drawTransaction returns the statements of one, without its begin and end.
func drawTransaction(r *rand.Rand) []string {
	statements := append([]string{bump}, shrink...)
	for range 1 + r.IntN(3) {
		statements = append(statements, drawChange(r))
	}
	return statements
}

func drawChange(r *rand.Rand) string {
	switch r.IntN(10) {
	case 0: // large
		return insertRows(50+r.IntN(200), 1000+r.IntN(3000))
	case 1, 2:
		return insertRows(1+r.IntN(100), r.IntN(600))
	case 3:
		return insertRows(1, 20_000+r.IntN(200_000)) // overflow pages
	case 4:
		return fmt.Sprintf("UPDATE t SET b = randomblob(length(b)) WHERE id %% %d = %d;", 2+r.IntN(20), r.IntN(2))
	case 5:
		return fmt.Sprintf("UPDATE t SET k = k + 1, b = zeroblob(length(b)) WHERE k < %d;", r.IntN(40))
	case 6:
		return fmt.Sprintf("DELETE FROM t WHERE id %% %d = 0;", 2+r.IntN(9))
	case 7:
		return fmt.Sprintf("INSERT INTO u SELECT k, hex(randomblob(%d)) FROM t LIMIT %d;", 1+r.IntN(200), r.IntN(200))
	case 8:
		return fmt.Sprintf("DELETE FROM t WHERE id > (SELECT max(id) - %d FROM t);", r.IntN(300)) // shrinks at the end
	}
	return insertRows(1, 10)
}

// hugeTransaction is one of more pages than the worker takes at a time, if they
// are small.
func hugeTransaction() []string {
	return []string{bump, insertRows(3000, 3000)}
}

// regretted inserts rows and deletes them again: the database grows by free pages
// that SQLite never writes, if none had to leave its cache.
func regretted(r *rand.Rand) []string {
	rows := 20 + r.IntN(200)
	return []string{
		"PRAGMA cache_size=-16000;", bump, insertRows(rows, 500+r.IntN(2000)),
		fmt.Sprintf("DELETE FROM t WHERE id > (SELECT max(id) - %d FROM t);", rows),
	}
}

// smallTransaction is one as an application makes that never pauses.
func smallTransaction(r *rand.Rand) []string {
	return []string{bump, fmt.Sprintf("UPDATE t SET b = randomblob(length(b)) WHERE id = (SELECT min(id) FROM t WHERE id >= %d);", r.IntN(400)), insertRows(1, r.IntN(200))}
}

// withSavepoint returns statements of which a part is rolled back to a
// savepoint, after its pages have spilled into the log.
func withSavepoint(r *rand.Rand) []string {
	statements := append([]string{bump}, shrink...)
	statements = append(statements, drawChange(r), "SAVEPOINT s;")
	for range 1 + r.IntN(3) {
		statements = append(statements, drawChange(r))
	}
	statements = append(statements, "ROLLBACK TO s;")
	if r.IntN(2) == 0 {
		statements = append(statements, drawChange(r))
	}
	return append(statements, "RELEASE s;")
}

// drawSettings returns what an application sets when it has opened the database,
// and now and then later.
func drawSettings(r *rand.Rand, s shape) []string {
	return []string{
		"PRAGMA synchronous=" + s.synchronous + ";",
		fmt.Sprintf("PRAGMA journal_size_limit=%d;", s.logLimit),
		fmt.Sprintf("PRAGMA wal_autocheckpoint=%d;", pick(r, 0, 0, 1, 10, 100, 1000)),
		fmt.Sprintf("PRAGMA cache_size=%d;", pick(r, 2, 10, 10, -2000)),
	}
}
