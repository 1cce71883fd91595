// Package changes shows, one named test for each, the ways in which a database
// can change under a worker: its application's own maintenance, files that are
// swapped, removed and put back, logs that a loss of power has cut.
//
// Each test asserts which it was, continued or resynced and for which rule, that
// the restored file equals the source byte for byte, and that what was shipped
// before still restores to what it was.
//
// Commits that SQLite never counted as such have their own test in test/faults,
// TestPhantomCommitsAreNeverShipped.
package changes
