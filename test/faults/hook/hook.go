// Package hook runs Go code in the middle of SQLite's checkpoints.
package hook

/*
extern int sqlite3_test_control(int, ...) __attribute__((weak));
extern int goFault(int);
static void install(int on) { sqlite3_test_control(9, on ? goFault : (int (*)(int))0); }
*/
import "C"

// Checkpoint is the point in a checkpoint, NOOP among them, that has read the
// index's header and not yet how much of the log is in the database file.
const Checkpoint = 660

var at func(int)

//export goFault
func goFault(n C.int) C.int {
	if at != nil {
		at(int(n))
	}
	return 0
}

// Install makes f run at each of SQLite's fault points in this process, whose
// number it is given. nil ends it.
func Install(f func(point int)) {
	at = f
	on := C.int(0)
	if f != nil {
		on = 1
	}
	C.install(on)
}
