/*
 * A library to preload under a program that uses SQLite: the n-th write to, or
 * sync of, a file whose name ends in a given suffix fails or kills the program.
 *
 *   SQLITE_SHIM=ACTION:CALL:SUFFIX:N    ACTION kill | fail, CALL write | sync
 *
 * A failing call sets EIO. Calls are counted in the program from 1; a failing
 * one fails only once.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static char action[8], call[8], suffix[256];
static long left;

__attribute__((constructor)) static void configure(void) {
    const char *s = getenv("SQLITE_SHIM");
    if (s && sscanf(s, "%7[^:]:%7[^:]:%255[^:]:%ld", action, call, suffix, &left) != 4) {
        fprintf(stderr, "shim: cannot read SQLITE_SHIM=%s\n", s);
        _exit(2);
    }
}

/* due tells whether this call on fd must fail; a call that kills does not return. */
static int due(const char *which, int fd) {
    char link[64], name[4096];
    size_t want = strlen(suffix);
    if (left <= 0 || strcmp(which, call) != 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, name, sizeof name - 1);
    if (n < (ssize_t)want) return 0;
    name[n] = 0;
    if (strcmp(name + n - want, suffix) != 0) return 0;
    if (__sync_sub_and_fetch(&left, 1) != 0) return 0;
    if (strcmp(action, "kill") == 0) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    errno = EIO;
    return 1;
}

#define NEXT(type, name) \
    static type real; \
    if (!real) real = (type)dlsym(RTLD_NEXT, name)

typedef ssize_t (*write_fn)(int, const void *, size_t, off_t);
typedef ssize_t (*write64_fn)(int, const void *, size_t, off64_t);
typedef int (*sync_fn)(int);

ssize_t pwrite(int fd, const void *b, size_t n, off_t at) {
    NEXT(write_fn, "pwrite");
    return due("write", fd) ? -1 : real(fd, b, n, at);
}

ssize_t pwrite64(int fd, const void *b, size_t n, off64_t at) {
    NEXT(write64_fn, "pwrite64");
    return due("write", fd) ? -1 : real(fd, b, n, at);
}

int fsync(int fd) {
    NEXT(sync_fn, "fsync");
    return due("sync", fd) ? -1 : real(fd);
}

int fdatasync(int fd) {
    NEXT(sync_fn, "fdatasync");
    return due("sync", fd) ? -1 : real(fd);
}
