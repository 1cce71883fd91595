// Package memory gives to the system what this process does not use.
package memory

/*
#include <stdlib.h>

#ifdef __GLIBC__
#include <malloc.h>
static void trim(void) { malloc_trim(0); }
#else
static void trim(void) {}
#endif
*/
import "C"

import "runtime/debug"

// Release gives back what neither Go nor SQLite, which allocates by the C library, has
// in use. The latter keeps what is in front of something in use by itself. It takes a
// collection, some milliseconds for a heap of some ten MiB.
func Release() {
	debug.FreeOSMemory()
	C.trim()
}
