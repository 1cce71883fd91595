package main

// #cgo LDFLAGS: -Wl,--unresolved-symbols=ignore-in-object-files
//
// #include <string.h>
//
// // Of the SQLite that the driver links.
// typedef struct sqlite3 sqlite3;
// typedef struct sqlite3_stmt sqlite3_stmt;
// int sqlite3_auto_extension(void (*)(void));
// int sqlite3_trace_v2(sqlite3 *, unsigned, int (*)(unsigned, void *, void *, void *), void *);
// int sqlite3_get_autocommit(sqlite3 *);
// const char *sqlite3_sql(sqlite3_stmt *);
// enum { TRACE_PROFILE = 2 };
//
// static long held;
//
// static int ended(unsigned what, void *db, void *statement, void *took) {
//     const char *sql = sqlite3_sql(statement);
//     if (sql && strncmp(sql, "BEGIN IMMEDIATE", 15) == 0 && !sqlite3_get_autocommit(db)) __sync_add_and_fetch(&held, 1);
//     return 0;
// }
//
// static int watch(sqlite3 *db, char **message, const void *api) {
//     return sqlite3_trace_v2(db, TRACE_PROFILE, ended, db);
// }
//
// static int watchAll(void) { return sqlite3_auto_extension((void (*)(void))watch); }
// static long heldSoFar(void) { return __sync_add_and_fetch(&held, 0); }
import "C"

import "fmt"

// watchWriteLocks makes SQLite count how often this process takes the write
// lock, which the data plane does for a hard checkpoint and nothing else.
func watchWriteLocks() error {
	if code := C.watchAll(); code != 0 {
		return fmt.Errorf("watch SQLite's statements: code %d", code)
	}
	return nil
}

// writeLocks returns how often that was.
func writeLocks() int { return int(C.heldSoFar()) }
