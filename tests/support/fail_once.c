// A library for LD_PRELOAD: memory, or a thread, is not to be had for once. In the whole run's life exactly one request
// fails: that with the number FAIL_ONCE_AT among those that FAIL_ONCE_WHAT names, "run" or "worker" (the supervisor's
// process, or the ranks'), then "alloc" or "thread": FAIL_ONCE_WHAT=worker-alloc. Without FAIL_ONCE_AT none fails. All
// are counted in the file FAIL_ONCE_COUNTS, four numbers of 64 bits that the run's processes share.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);
extern void* __libc_memalign(size_t, size_t);

static const char* const counted[] = {"run-alloc", "run-thread", "worker-alloc", "worker-thread"};

static uint64_t* counts;  // null: this process is neither supervisor nor rank
static int process = -1;  // 0: run, 2: worker
static int chosen = -1;   // which of `counted` fails
static uint64_t failing_at;
static __thread int looking;  // this thread looks at its own calls

// Libraries that crash where they lack memory, which is no fault of ours. With a name: below a call of this function.
static const struct {
  const char *library, *function;
} fragile[] = {
    {"libsentencepiece", NULL},            // messages of protobuf that are half there
    {"libboost_program_options", NULL},    // names of an option that are half there
    {"libhdf5", "H5PLset_loading_state"},  // the call with which it starts
};

// The second word of the command line is the command of troupe.
static int kind_of_process(void) {
  char line[4096];
  const int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
  const ssize_t got = file < 0 ? -1 : read(file, line, sizeof(line) - 1);
  if (file >= 0) {
    close(file);
  }
  if (got <= 0) {
    return -1;
  }
  line[got] = '\0';
  const char* name = strrchr(line, '/');
  name = name != NULL ? name + 1 : line;
  const char* command = line + strlen(line) + 1;
  if (strcmp(name, "troupe") != 0 || command >= line + got) {
    return -1;
  }
  return strcmp(command, "run") == 0 ? 0 : strcmp(command, "worker") == 0 ? 2 : -1;
}

__attribute__((constructor)) static void begin(void) {
  const char* path = getenv("FAIL_ONCE_COUNTS");
  const char* what = getenv("FAIL_ONCE_WHAT");
  const char* at = getenv("FAIL_ONCE_AT");
  const int kind = kind_of_process();
  if (path == NULL || kind < 0) {
    return;
  }
  const int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0 || ftruncate(file, sizeof(uint64_t) * 4) != 0) {
    abort();
  }
  void* shared = (void*)syscall(SYS_mmap, NULL, sizeof(uint64_t) * 4, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (shared == MAP_FAILED) {
    abort();
  }
  for (int i = 0; what != NULL && at != NULL && i < 4; ++i) {
    if (strcmp(what, counted[i]) == 0) {
      chosen = i;
      failing_at = strtoull(at, NULL, 10);
    }
  }
  process = kind;
  counts = shared;
}

static int in_fragile_library(void) {
  void* calls[64];
  looking = 1;
  const int depth = backtrace(calls, 64);
  int found = 0;
  for (int i = 0; i < depth && !found; ++i) {
    Dl_info at;
    if (dladdr(calls[i], &at) == 0 || at.dli_fname == NULL) {
      continue;
    }
    for (size_t f = 0; f < sizeof(fragile) / sizeof(fragile[0]); ++f) {
      found |=
          strstr(at.dli_fname, fragile[f].library) != NULL &&
          (fragile[f].function == NULL || (at.dli_sname != NULL && strcmp(at.dli_sname, fragile[f].function) == 0));
    }
  }
  looking = 0;
  return found;
}

// Whether this request is the one that fails. `which`: 0 memory, 1 a thread.
static int fails(int which) {
  if (counts == NULL || looking) {
    return 0;
  }
  const int index = process + which;
  const uint64_t number = __atomic_add_fetch(&counts[index], 1, __ATOMIC_RELAXED);
  if (index != chosen || number != failing_at) {
    return 0;
  }
  if (in_fragile_library()) {
    ++failing_at;  // the next one, then
    return 0;
  }
  return 1;
}

static void* refused(void) {
  errno = ENOMEM;
  return NULL;
}

void* malloc(size_t size) { return fails(0) ? refused() : __libc_malloc(size); }
void* calloc(size_t count, size_t size) { return fails(0) ? refused() : __libc_calloc(count, size); }
void* realloc(void* old, size_t size) { return fails(0) ? refused() : __libc_realloc(old, size); }
void* memalign(size_t alignment, size_t size) { return fails(0) ? refused() : __libc_memalign(alignment, size); }
void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void** to, size_t alignment, size_t size) {
  void* made = memalign(alignment, size);
  if (made == NULL) {
    return ENOMEM;
  }
  *to = made;
  return 0;
}

void* mmap(void* at, size_t size, int protection, int flags, int file, off_t offset) {
  if (fails(0)) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  return (void*)syscall(SYS_mmap, at, size, protection, flags, file, offset);
}
void* mmap64(void* at, size_t size, int protection, int flags, int file, off64_t offset) {
  return mmap(at, size, protection, flags, file, offset);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*begin_at)(void*), void* argument) {
  static int (*real)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  if (real == NULL) {
    *(void**)&real = dlsym(RTLD_NEXT, "pthread_create");
  }
  return fails(1) ? EAGAIN : real(thread, attributes, begin_at, argument);
}
