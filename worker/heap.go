package main

/*
#include <malloc.h>

// By default each thread that allocates while another does gets an arena of its own, and
// what SQLite needed of sixteen of them once is not given back.
static void one_arena(void) {
#ifdef __GLIBC__
	mallopt(M_ARENA_MAX, 1);
#endif
}

static void trim(void) {
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}
*/
import "C"

func init() { C.one_arena() }

// trimHeapOfC gives free memory of SQLite's heap back to the system.
func trimHeapOfC() { C.trim() }
