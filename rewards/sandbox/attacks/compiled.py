"""Attacks in C++: by what is compiled, and by what the compiler is made to read.

A compiled program runs under a filter of its own, that lets a child become it: so it tries all the
ways out again, and those that only such a process has.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..level import Level
from ..verdict import Verdict
from .case import ANY, BROKEN, DONE, OVER_MEMORY, OVER_OUTPUT, OVER_TIME

EXECUTED = 77
"""The exit code of a program that an attack made and became."""
HEAD = r"""
#include <arpa/inet.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <initializer_list>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;
static void breach(const char *what) { dprintf(1, "\n%s %s\n", MARK, what); }
static void reached(const char *what, long got) {
  if (got != -1 || (errno != EPERM && errno != ENOSYS && errno != EACCES)) breach(what);
}
static void opens(const char *path, int flags) {
  int fd = open(path, flags, 0600);
  if (fd >= 0) { breach(path); close(fd); }
}
"""


@dataclass(frozen=True, slots=True)
class CompiledCase:
    """An attack. `source` follows `HEAD`, and has the facts of the scene as macros in capitals."""

    id: str
    source: str
    ends: frozenset[Verdict] = DONE
    """How the program may end."""
    fails_from: Level = Level.CONFINED
    """The lowest level at which it must fail; below, it is not run."""
    bare: bool = True
    """Whether it gets through where nothing is confined, as root."""


@dataclass(frozen=True, slots=True)
class ReadingCase:
    """An attack that reads by the compiler. `source` has ``@NAME@`` for a fact of the scene.

    It got through where a secret is in what comes out, or no file was refused to an include.
    """

    id: str
    source: str
    is_include: bool = True
    bare: bool = True


_MINI = r"""
static void become(const char *how, int fd) {
  unsigned char code[] = {0xbf, 77, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05};
  struct { Elf64_Ehdr e; Elf64_Phdr p; unsigned char c[sizeof code]; } f = {};
  memcpy(f.e.e_ident, "\177ELF\2\1\1", 7);
  f.e.e_type = ET_EXEC; f.e.e_machine = EM_X86_64; f.e.e_version = 1;
  f.e.e_entry = 0x400000 + sizeof f.e + sizeof f.p; f.e.e_phoff = sizeof f.e;
  f.e.e_ehsize = sizeof f.e; f.e.e_phentsize = sizeof f.p; f.e.e_phnum = 1;
  f.p.p_type = PT_LOAD; f.p.p_flags = PF_R | PF_X; f.p.p_vaddr = f.p.p_paddr = 0x400000;
  f.p.p_filesz = f.p.p_memsz = sizeof f; f.p.p_align = 0x1000;
  memcpy(f.c, code, sizeof code);
  if (fd < 0 || pwrite(fd, &f, sizeof f, 0) != (long)sizeof f) return;
  char *argv[] = {(char *)how, nullptr}, *env[] = {nullptr};
  dup2(fd, 5);
  syscall(SYS_execveat, 5, "", argv, env, AT_EMPTY_PATH);
  syscall(SYS_execveat, fd, "", argv, env, AT_EMPTY_PATH);
  char path[64];
  sprintf(path, "/proc/self/fd/%d", fd);
  syscall(SYS_execveat, 5, path, argv, env, AT_EMPTY_PATH);
  execve(path, argv, env);
}
"""

CASES: tuple[CompiledCase, ...] = (
    CompiledCase("read", r"""
int main() {
  const char *paths[] = {OWN_SECRET, OPEN_SECRET, TOKEN_PATH, SOURCE, PYTHON, SITE_PACKAGES,
    "/etc/passwd", "/etc/hosts", "/proc/1/environ", "/proc/self/maps", "/usr/include/stdio.h",
    "/lib64/ld-linux-x86-64.so.2", "/", ".."};
  for (auto p : paths) opens(p, O_RDONLY);
  char path[99];
  for (int pid : {RUNNER, VICTIM, (int)getppid()})
    for (auto name : {"environ", "maps", "mem", "root/etc/passwd"}) {
      snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
      opens(path, O_RDONLY);
    }
}"""),
    CompiledCase("write", r"""
int main() {
  char path[400];
  snprintf(path, sizeof path, "%s/%s", FOLDER, TAG);
  opens(path, O_WRONLY | O_CREAT);
  opens(OPEN_SECRET, O_WRONLY); opens(OPEN_SECRET, O_RDWR | O_TRUNC);
  reached("chmod", chmod(OPEN_SECRET, 0)); reached("chown", chown(OPEN_SECRET, 1, 1));
  reached("truncate", truncate(OPEN_SECRET, 0)); reached("link", link(OPEN_SECRET, path));
  if (!mkdir(path, 0700)) breach("mkdir");
  if (!rename(OPEN_SECRET, path)) breach("rename");
  if (!unlink(OPEN_SECRET)) breach("unlink");
}"""),
    CompiledCase("symlink", r"""
int main() {
  reached("symlink", symlink(OPEN_SECRET, TAG));
  reached("symlinkat", symlinkat("/", AT_FDCWD, TAG "2"));
  opens(TAG, O_RDONLY); opens(TAG "2/etc/passwd", O_RDONLY);
}"""),
    CompiledCase("network", r"""
int main() {
  for (int family : {AF_INET, AF_INET6, AF_UNIX, 16, 17, 38, 40})
    for (int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW}) {
      int s = socket(family, type, 0);
      if (s < 0) continue;
      breach("socket");
      sockaddr_in in = {}; in.sin_family = AF_INET; in.sin_port = htons(TCP);
      in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      connect(s, (sockaddr *)&in, sizeof in);
      sockaddr_un un = {}; un.sun_family = AF_UNIX; strncpy(un.sun_path, UNIX_PATH, 100);
      connect(s, (sockaddr *)&un, sizeof un);
      close(s);
    }
  int pair[2];
  if (!socketpair(AF_UNIX, SOCK_DGRAM, 0, pair)) {
    sockaddr_un un = {}; un.sun_family = AF_UNIX; strncpy(un.sun_path, UNIX_PATH, 100);
    reached("connect", connect(pair[0], (sockaddr *)&un, sizeof un));
    reached("bind", bind(pair[0], (sockaddr *)&un, 2));
    reached("sendto", sendto(pair[0], "x", 1, 0, (sockaddr *)&un, sizeof un));
  }
}"""),
    CompiledCase("fork", r"""
static int f(void *) { return 0; }
int main() {
  static char stack[65536];
  for (int i = 0; i < 40; i++) {
    int pid = i % 2 ? fork() : vfork();
    if (!pid) _exit(0);
    if (pid > 0) { breach("fork"); waitpid(pid, 0, 0); }
  }
  int pid = clone(f, stack + 60000, CLONE_VM | SIGCHLD, 0);
  if (pid > 0) { breach("clone"); waitpid(pid, 0, 0); }
  pid = clone(f, stack + 60000, CLONE_NEWUSER | SIGCHLD, 0);
  if (pid > 0) { breach("clone newuser"); waitpid(pid, 0, 0); }
  char *argv[] = {(char *)"sh", nullptr};
  if (!posix_spawn(&pid, "/bin/true", 0, 0, argv, environ)) breach("posix_spawn");
  if (system("true") == 0) breach("system");
  if (popen("true", "r")) breach("popen");
}"""),
    CompiledCase("exec", r"""
int main() {
  const char *paths[] = {"/bin/sh", "/usr/bin/env", PYTHON, COMPILER, LOADER};
  char *argv[] = {(char *)"sh", (char *)"-c", (char *)"exit 77", nullptr}, *env[] = {nullptr};
  for (auto p : paths) {
    execve(p, argv, env);
    for (int fd : {0, 1, 5, AT_FDCWD}) syscall(SYS_execveat, fd, p, argv, env, AT_EMPTY_PATH);
    int fd = open(p, O_PATH);
    if (fd >= 0) { dup2(fd, 5); syscall(SYS_execveat, 5, "", argv, env, AT_EMPTY_PATH); }
    syscall(SYS_execveat, AT_FDCWD, p, argv, env, 0);
  }
}"""),
    CompiledCase("exec-of-its-output", _MINI + r"""
int main() {
  become("output", 1); become("input", 0);
  become("memory", (int)syscall(SYS_memfd_create, "x", 0));
  become("file", open(TAG, O_RDWR | O_CREAT, 0700));
}"""),
    CompiledCase("exec-of-itself-by-a-thread", r"""
static void *again(void *) {
  char *argv[] = {(char *)"again", nullptr}, *env[] = {nullptr};
  for (auto p : {"/proc/self/exe", "/proc/thread-self/exe", "/proc/self/fd/5"}) {
    int fd = open(p, O_PATH);
    if (fd >= 0) dup2(fd, 5);
    syscall(SYS_execveat, 5, "", argv, env, AT_EMPTY_PATH);
  }
  _exit(0);
}
int main(int, char **argv) {
  if (argv[0][0] == 'a') return 0;
  pthread_t t; pthread_create(&t, 0, again, 0); pthread_exit(0);
}""", bare=False),
    CompiledCase("descriptors", r"""
int main() {
  for (int fd = 3; fd < 1024; fd++) if (fcntl(fd, F_GETFD) >= 0) breach("a descriptor is open");
  if (environ[0] && (strcmp(environ[0], "LC_ALL=C") || environ[1])) breach(environ[0]);
  if (pwrite(0, "x", 1, 0) >= 0 || ftruncate(0, 1) == 0) breach("its input can be changed");
}""", fails_from=Level.PROCESS),
    CompiledCase("ptrace", r"""
int main() {
  reached("traceme", syscall(SYS_ptrace, 0, 0, 0, 0));
  for (int pid : {RUNNER, VICTIM, (int)getppid(), 1}) {
    reached("seize", syscall(SYS_ptrace, 0x4206, pid, 0, 0));
    char c; struct { void *p; long n; } v = {&c, 1};
    reached("vm_readv", syscall(SYS_process_vm_readv, pid, &v, 1, &v, 1, 0));
    reached("pidfd_open", syscall(SYS_pidfd_open, pid, 0));
    reached("kcmp", syscall(SYS_kcmp, pid, getpid(), 0, 0, 0));
  }
}"""),
    CompiledCase("kill", r"""
int main() {
  for (int pid : {RUNNER, VICTIM, (int)getppid(), 1, -1})
    for (int s : {0, SIGSTOP, SIGTERM}) {
      if (pid != VICTIM && s) continue;
      reached("kill", kill(pid, s));
      reached("tgkill", syscall(SYS_tgkill, pid, pid, s));
      reached("tkill", syscall(SYS_tkill, pid, s));
      reached("sigqueue", syscall(SYS_rt_sigqueueinfo, pid, s, 0));
    }
  reached("own SIGKILL", kill(getpid(), SIGKILL));
}""", ANY),
    CompiledCase("namespaces", r"""
int main() {
  for (int flag : {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID})
    reached("unshare", unshare(flag));
  reached("setns", setns(0, 0));
  reached("mount", syscall(SYS_mount, "none", "/", "tmpfs", 0, 0));
  reached("pivot_root", syscall(SYS_pivot_root, ".", "."));
  reached("chroot", chroot("."));
  reached("bpf", syscall(SYS_bpf, 0, 0, 0));
  reached("io_uring", syscall(SYS_io_uring_setup, 1, 0));
  reached("userfaultfd", syscall(SYS_userfaultfd, 0));
  reached("keyctl", syscall(SYS_keyctl, 0, -3, 0));
  reached("perf", syscall(SYS_perf_event_open, 0, 0, -1, -1, 0));
  reached("shmget", syscall(SYS_shmget, 0, 4096, 0600));
  reached("mq_open", syscall(SYS_mq_open, TAG, O_CREAT | O_RDWR, 0600, 0));
}"""),
    CompiledCase("privileges", r"""
int main() {
  reached("setuid", syscall(SYS_setuid, 0)); reached("setgid", syscall(SYS_setgid, 0));
  reached("setgroups", syscall(SYS_setgroups, 0, 0));
  reached("dumpable", syscall(SYS_prctl, 4, 1, 0, 0, 0));
  reached("seccomp", syscall(SYS_seccomp, 1, 0, 0));
  reached("arch_prctl", syscall(SYS_arch_prctl, 0x1001, 0));
  reached("personality", syscall(SYS_personality, 0x40000));
  for (int which : {RLIMIT_CPU, RLIMIT_DATA, RLIMIT_AS, RLIMIT_FSIZE, RLIMIT_NOFILE}) {
    rlimit before, wanted = {RLIM_INFINITY, RLIM_INFINITY}, after;
    getrlimit(which, &before); setrlimit(which, &wanted); getrlimit(which, &after);
    if (after.rlim_max > before.rlim_max) breach("a limit was raised");
  }
}"""),
    CompiledCase("every-number", r"""
int main() {
  static const int allowed[] = {ALLOWED};
  for (int n = 0; n < 512; n++) {
    bool left_out = n == 57 || n == 58 || n == 153 || n == 335 || n == 336;
    for (int a : allowed) left_out |= a == n;
    if (left_out) continue;
    char name[40]; sprintf(name, "system call %d", n);
    reached(name, syscall(n, -1L, -1L, -1L, -1L, -1L, -1L));
  }
}""", bare=False),
    CompiledCase("assembly", r"""
static long raw(long n, long a, long b, long c) {
  long r; __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c)
                           : "rcx", "r11", "memory");
  return r;
}
int main() {
  long p = raw(57, 0, 0, 0);
  if (!p) raw(231, 0, 0, 0);
  if (p > 0) breach("fork");
  if (raw(41, 2, 1, 0) >= 0) breach("socket");
  if (raw(2, (long)OPEN_SECRET, 0, 0) >= 0) breach("open");
  if (raw(101, 0, 0, 0) >= 0) breach("ptrace");
}"""),
    CompiledCase("int80", r"""
int main() {
  long r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory");
  if (r > 0) breach("getpid by int 0x80");
}""", ANY, bare=False),
    CompiledCase("int80-fork", r"""
int main() {
  long r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(2) : "memory");
  if (!r) _exit(0);
  if (r > 0) breach("fork by int 0x80");
}""", ANY, bare=False),
    CompiledCase("x32", r"""
int main() {
  for (long bit : {0x40000000L, 0x80000000L})
    for (long n : {39L, 57L, 520L, 545L}) {
      long r = syscall(bit | n, 0L, 0L, 0L, 0L, 0L);
      if (r == 0 && n == 57) _exit(0);
      if (r > 0) breach("by x32");
    }
}""", ANY, bare=False),
    CompiledCase("far-segment", r"""
int main() {
  // To 32-bit mode by a far return.
  void *low = mmap((void *)0x10000000, 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (low == MAP_FAILED) return 0;
  unsigned char code[] = {0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xf4};  // getpid, hlt
  memcpy(low, code, sizeof code);
  __asm__ volatile("lea 0x10001f00, %rsp\n pushq $0x23\n pushq $0x10000000\n lretq");
}""", BROKEN, bare=False),
    CompiledCase("loop", r"""
int main() {
  for (int s = 1; s < 65; s++) signal(s, SIG_IGN);
  alarm(0);
  for (volatile int i = 0;; i = i + 1) {}
}""", OVER_TIME, fails_from=Level.PROCESS, bare=False),
    CompiledCase("memory", r"""
int main() {
  long mb = 0;
  for (; mb < 2000; mb += 16) {
    void *p = mmap(0, 16 << 20, PROT_READ | PROT_WRITE,
                   (mb & 16 ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) break;
    memset(p, 1, 16 << 20);
  }
  if (mb > 900) breach("more memory than its limit");
}""", DONE | OVER_MEMORY, fails_from=Level.PROCESS),
    CompiledCase("stack", r"""
static int depth(volatile char *up) {
  char here[65536]; memset(here, 1, sizeof here); return depth(here) + here[9] + up[0];
}
int main() { char c = 0; return depth(&c); }""", BROKEN, fails_from=Level.PROCESS, bare=False),
    CompiledCase("threads", r"""
static void *wait(void *) { pause(); return 0; }
int main() {
  pthread_attr_t small; pthread_attr_init(&small); pthread_attr_setstacksize(&small, 16384);
  int n = 0; pthread_t t;
  while (n < 1500 && !pthread_create(&t, &small, wait, 0)) n++;
  if (n > 700) breach("more threads than its limit");
  _exit(0);
}""", bare=False),
    CompiledCase("flood", r"""
int main() { static char b[65536]; for (int i = 0; i < 9999; i++) write(1, b, sizeof b); }
""", OVER_OUTPUT, fails_from=Level.PROCESS, bare=False),
    CompiledCase("stop", "int main() { kill(getpid(), SIGSTOP); }", ANY, bare=False),
    CompiledCase("leftovers", r"""
int main() {
  int fd = open(TAG, O_WRONLY | O_CREAT, 0600);
  write(fd, TAG, 5); mkdir(TAG "d", 0700);
}
""", bare=False),
)  # fmt: skip

READING: tuple[ReadingCase, ...] = (
    ReadingCase("include-own-secret", '#include "@own_secret@"'),
    ReadingCase("include-open-secret", '#include "@open_secret@"'),
    ReadingCase("include-token", '#include "@token_path@"'),
    ReadingCase("include-service", '#include "@source@"'),
    ReadingCase("include-passwd", '#include "/etc/passwd"'),
    ReadingCase("include-environ", f'#include "/proc/{"@runner@"}/environ"'),
    ReadingCase("include-up", '#include "../../../../../..@open_secret@"'),
    ReadingCase("include-next", '#include_next "@open_secret@"'),
    ReadingCase("imacros", '#pragma GCC dependency "@open_secret@"\n#include "@open_secret@"'),
    ReadingCase("incbin", '__asm__(".incbin \\"@open_secret@\\"");', is_include=False),
    ReadingCase("incbin-own", '__asm__(".incbin \\"@own_secret@\\"");', is_include=False),
    ReadingCase("assembler-include", '__asm__(".include \\"@open_secret@\\"");', is_include=False),
    ReadingCase("include-zero", '#include "/dev/zero"', bare=False),
)  # fmt: skip
