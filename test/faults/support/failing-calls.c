/*
 * Loaded into a node (LD_PRELOAD): lets system calls on files of some path fail with EIO, as a disk does.
 *
 * FAILING_CALLS names a file that the test changes while the node runs: for each kind of call an int32 that says how many
 * of the next ones fail, and, from byte 64 on, a part of the paths that this concerns, with a zero at its end.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { SYNC, WRITEV, WRITE, READ, KINDS };
enum { SIZE = 4096, PATTERN_AT = 64 };

static char *control;

__attribute__((constructor)) static void map_control(void) {
  const char *path = getenv("FAILING_CALLS");
  int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (at != MAP_FAILED) control = at;
}

/* Whether this call is one of those that fail. */
static int fails(enum kind kind, int fd) {
  if (!control) return 0;
  int *left = (int *)control + kind;
  if (__atomic_load_n(left, __ATOMIC_ACQUIRE) <= 0) return 0;
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  if (!strstr(path, control + PATTERN_AT)) return 0;
  if (__atomic_fetch_sub(left, 1, __ATOMIC_ACQ_REL) <= 0) {
    __atomic_fetch_add(left, 1, __ATOMIC_ACQ_REL);
    return 0;
  }
  errno = EIO;
  return 1;
}

#define FAILING(kind, type, name, parameters, ...)                        \
  type name parameters {                                                  \
    static type(*real) parameters;                                        \
    if (fails(kind, fd)) return -1;                                       \
    if (!real) real = (type(*) parameters)dlsym(RTLD_NEXT, #name);        \
    return real(__VA_ARGS__);                                             \
  }

FAILING(SYNC, int, fsync, (int fd), fd)
FAILING(SYNC, int, fdatasync, (int fd), fd)
FAILING(WRITEV, ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t at), fd, v, n, at)
FAILING(WRITEV, ssize_t, pwritev64, (int fd, const struct iovec *v, int n, off64_t at), fd, v, n, at)
FAILING(WRITE, ssize_t, pwrite, (int fd, const void *b, size_t n, off_t at), fd, b, n, at)
FAILING(WRITE, ssize_t, pwrite64, (int fd, const void *b, size_t n, off64_t at), fd, b, n, at)
FAILING(READ, ssize_t, pread, (int fd, void *b, size_t n, off_t at), fd, b, n, at)
FAILING(READ, ssize_t, pread64, (int fd, void *b, size_t n, off64_t at), fd, b, n, at)
FAILING(READ, ssize_t, preadv, (int fd, const struct iovec *v, int n, off_t at), fd, v, n, at)
FAILING(READ, ssize_t, preadv64, (int fd, const struct iovec *v, int n, off64_t at), fd, v, n, at)
