/* A wall clock that jumps, for Python alone: `tests.load.hosts` preloads it into a service.
 *
 * CLOCK_REALTIME is off by the seconds that the file named by CLOCK_JUMP_FILE holds as an int64.
 * Only the interpreter sees it: what waits until a time of the kernel's clock would wait for ever.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CLOCK_JUMP_FILE");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, fd, 0);
    offset = map == MAP_FAILED ? NULL : map;
    if (fd >= 0) close(fd);
}

static int is_python(const void *caller) {
    Dl_info info;
    return dladdr(caller, &info) && info.dli_fname && strstr(info.dli_fname, "python3.1")
        && !strstr(info.dli_fname, "-packages/");
}

int clock_gettime(clockid_t clock, struct timespec *told) {
    int failed = (int)syscall(SYS_clock_gettime, clock, told);
    if (!failed && clock == CLOCK_REALTIME && offset && is_python(__builtin_return_address(0)))
        told->tv_sec += *offset;
    return failed;
}
