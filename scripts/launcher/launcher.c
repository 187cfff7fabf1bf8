/* The self-unpacking program: one static ELF with a payload behind it.
 *
 *   [this ELF][index][one zstd frame: the files one after another][footer]
 *
 * The first start unpacks the payload into a folder of this user's cache that is named by the
 * payload's SHA-256; every start then replaces itself by `deno run ... main.js ARGS` in there.
 *
 * Cache: $LLMPIPE_CACHE_DIR, or the first that can be had of $XDG_CACHE_HOME/llmpipe,
 * $HOME/.cache/llmpipe, /tmp/llmpipe-UID. It belongs to this user, nobody else may write to it.
 * One process unpacks (flock), into a folder of its own that is renamed when complete, so nobody
 * sees half a copy even where locks do not work. Each start compares the size, owner and time of
 * every file with the index, and unpacks again what a cleaner or a crash has spoiled. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#include "sha256.h"

enum {
  FAILED = 1,            /* exit status, as the program's own */
  UNUSED_DAYS = 30,      /* other versions in the cache are removed after that */
  UNPACKED = 1577836800, /* mtime of every unpacked file: a later write shows */
};

/* Written by scripts/pack/payload.ts, little endian. */
struct footer {
  uint64_t index_begin, index_bytes, data_begin, data_bytes;
  uint8_t sha256[32]; /* of index and data */
  char magic[8];
};
struct entry { /* in the index: u64 bytes, u32 mode, u32 length of name, name */
  uint64_t bytes;
  uint32_t mode;
  char name[256];
};

static const uint8_t *image; /* this executable */
static struct footer footer;
static char unfinished[PATH_MAX]; /* the half-written copy, removed when unpacking fails */

/* ---- Errors and paths ---------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
  (void)st, (void)type, (void)at;
  return remove(path);
}

static void remove_tree(const char *path) { nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

static void fail(const char *format, ...) {
  if (unfinished[0]) remove_tree(unfinished);
  va_list args;
  va_start(args, format);
  fputs("llmpipe: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  exit(FAILED);
}

static void join(char out[PATH_MAX], const char *format, ...) {
  va_list args;
  va_start(args, format);
  int length = vsnprintf(out, PATH_MAX, format, args);
  va_end(args);
  if (length < 0 || length >= PATH_MAX) fail("Cannot unpack: the path of the cache is too long");
}

/* ---- The payload --------------------------------------------------------------------------- */

static void open_image(void) {
  struct stat st;
  int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &st)) fail("Cannot open own file: %s", strerror(errno));
  image = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (image == MAP_FAILED) fail("Cannot map own file: %s", strerror(errno));
  close(fd);
  uint64_t size = (uint64_t)st.st_size;
  memcpy(&footer, image + size - sizeof footer, sizeof footer);
  uint64_t end = footer.index_begin + footer.index_bytes + footer.data_bytes;
  if (memcmp(footer.magic, "LLMPIPE2", 8) || end + sizeof footer != size ||
      footer.data_begin != footer.index_begin + footer.index_bytes) {
    fail("Cannot unpack: this file is damaged or incomplete, copy it again");
  }
}

/* Reads the entry at `position` of the index and moves on; 0 at the end. */
static int next_entry(uint64_t *position, struct entry *entry) {
  const uint8_t *p = image + footer.index_begin + *position;
  uint32_t length;
  if (*position + 16 > footer.index_bytes) return 0;
  memcpy(&entry->bytes, p, 8);
  memcpy(&entry->mode, p + 8, 4);
  memcpy(&length, p + 12, 4);
  if (length >= sizeof entry->name || *position + 16 + length > footer.index_bytes) {
    fail("Cannot unpack: this file is damaged or incomplete, copy it again");
  }
  memcpy(entry->name, p + 16, length);
  entry->name[length] = 0;
  *position += 16 + length;
  return 1;
}

/* ---- The copy in the cache ----------------------------------------------------------------- */

static int is_complete(const char *home) {
  struct entry entry;
  for (uint64_t at = 0; next_entry(&at, &entry);) {
    char path[PATH_MAX];
    struct stat st;
    join(path, "%s/%s", home, entry.name);
    if (lstat(path, &st) || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != entry.bytes ||
        st.st_uid != geteuid() || st.st_mtime != UNPACKED) {
      return 0;
    }
  }
  return 1;
}

static void write_all(int fd, const char *path, const uint8_t *from, size_t bytes) {
  while (bytes) {
    ssize_t n = write(fd, from, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("Cannot write %s: %s", path, strerror(errno));
    from += n, bytes -= (size_t)n;
  }
}

static void unpack_file(const char *home, const struct entry *entry, ZSTD_DCtx *zstd,
                        ZSTD_inBuffer *in) {
  static uint8_t buffer[1 << 20];
  char path[PATH_MAX];
  join(path, "%s/%s", home, entry->name);
  for (char *p = path + strlen(home) + 1; (p = strchr(p, '/')); *p++ = '/') {
    *p = 0;
    if (mkdir(path, 0700) && errno != EEXIST) fail("Cannot make %s: %s", path, strerror(errno));
  }
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, entry->mode & 0700);
  if (fd < 0) fail("Cannot make %s: %s", path, strerror(errno));
  for (uint64_t left = entry->bytes; left;) {
    ZSTD_outBuffer out = {buffer, left < sizeof buffer ? left : sizeof buffer, 0};
    size_t status = ZSTD_decompressStream(zstd, &out, in);
    if (ZSTD_isError(status) || (!out.pos && in->pos == in->size)) {
      fail("Cannot unpack %s: the payload does not decompress", entry->name);
    }
    write_all(fd, path, buffer, out.pos);
    left -= out.pos;
  }
  const struct timespec times[2] = {{0, UTIME_NOW}, {UNPACKED, 0}};
  if (futimens(fd, times) || close(fd)) fail("Cannot write %s: %s", path, strerror(errno));
}

/* Removes what killed processes left, and versions that nobody has started for long. The caller
 * holds the lock, so no unfinished copy is in use. */
static void sweep(const char *cache, const char *keep) {
  DIR *dir = opendir(cache);
  if (!dir) return;
  for (struct dirent *e; (e = readdir(dir));) {
    char path[PATH_MAX];
    struct stat st;
    join(path, "%s/%s", cache, e->d_name);
    int is_version = strlen(e->d_name) == 32 && strspn(e->d_name, "0123456789abcdef") == 32;
    int is_old = is_version && strcmp(path, keep) && !lstat(path, &st) &&
                 time(NULL) - st.st_mtime > UNUSED_DAYS * 86400;
    if (is_old || !strncmp(e->d_name, ".new-", 5)) remove_tree(path);
  }
  closedir(dir);
}

static void unpack(const char *cache, const char *home) {
  uint8_t digest[32];
  sha256(image + footer.index_begin, footer.index_bytes + footer.data_bytes, digest);
  if (memcmp(digest, footer.sha256, sizeof digest)) {
    fail("Cannot unpack: the hash of this file is not what it must be, copy it again");
  }
  join(unfinished, "%s/.new-%d-XXXXXX", cache, getpid());
  if (!mkdtemp(unfinished)) {
    unfinished[0] = 0;
    fail("Cannot make a folder in %s: %s", cache, strerror(errno));
  }
  ZSTD_DCtx *zstd = ZSTD_createDCtx();
  ZSTD_inBuffer in = {image + footer.data_begin, footer.data_bytes, 0};
  struct entry entry;
  for (uint64_t at = 0; next_entry(&at, &entry);) unpack_file(unfinished, &entry, zstd, &in);
  ZSTD_freeDCtx(zstd);
  char spoiled[PATH_MAX];
  join(spoiled, "%s.old", unfinished);
  if (!is_complete(home) && !rename(home, spoiled)) remove_tree(spoiled);
  if (rename(unfinished, home)) {
    if (!is_complete(home)) fail("Cannot rename to %s: %s", home, strerror(errno));
    remove_tree(unfinished); /* another process was faster */
  }
  unfinished[0] = 0;
}

static void ensure_unpacked(const char *cache, const char *home) {
  if (is_complete(home)) return;
  char path[PATH_MAX];
  join(path, "%s/lock", cache);
  int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  int status = lock < 0 ? -1 : flock(lock, LOCK_EX);
  while (status && lock >= 0 && errno == EINTR) status = flock(lock, LOCK_EX);
  if (!status) sweep(cache, home); /* some network file systems cannot lock; rename is enough */
  if (!is_complete(home)) unpack(cache, home);
  if (lock >= 0) close(lock);
}

/* ---- Where the cache is -------------------------------------------------------------------- */

/* Makes `path` and its parents; 1 when it belongs to this user and new files can be made in it. */
static int usable(const char *path) {
  struct stat st;
  char parent[PATH_MAX];
  join(parent, "%s", path);
  for (char *p = parent + 1; (p = strchr(p, '/')); *p++ = '/') {
    *p = 0;
    mkdir(parent, 0700);
  }
  mkdir(path, 0700);
  if (stat(path, &st)) return 0;
  if (!S_ISDIR(st.st_mode)) return errno = ENOTDIR, 0;
  if (st.st_uid != geteuid()) return errno = EPERM, 0;
  if (st.st_mode & 022) {
    fail("Cannot use the cache %s: others may write to it (chmod go-w, or set LLMPIPE_CACHE_DIR)",
         path);
  }
  return !access(path, R_OK | W_OK | X_OK);
}

static void find_cache(char cache[PATH_MAX]) {
  const char *own = getenv("LLMPIPE_CACHE_DIR"), *xdg = getenv("XDG_CACHE_HOME");
  const char *user = getenv("HOME");
  if (own && *own) {
    char here[PATH_MAX];
    if (*own == '/') join(cache, "%s", own);
    else if (getcwd(here, sizeof here)) join(cache, "%s/%s", here, own);
    else fail("Cannot find the current folder: %s", strerror(errno));
    if (!usable(cache)) fail("Cannot use LLMPIPE_CACHE_DIR %s: %s", cache, strerror(errno));
    return;
  }
  if (xdg && *xdg == '/') {
    join(cache, "%s/llmpipe", xdg);
    if (usable(cache)) return;
  }
  if (user && *user == '/' && !access(user, X_OK)) {
    join(cache, "%s/.cache/llmpipe", user);
    if (usable(cache)) return;
  }
  join(cache, "/tmp/llmpipe-%u", geteuid());
  if (!usable(cache)) {
    fail("Cannot use the cache %s: %s (set LLMPIPE_CACHE_DIR)", cache, strerror(errno));
  }
}

/* ---- Start --------------------------------------------------------------------------------- */

static void set_environment(const char *cache, const char *home) {
  char path[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  if (length > 0) {
    path[length] = 0;
    setenv("LLMPIPE_EXE", path, 1); /* what starts further processes of this program */
  }
  setenv("LLMPIPE_HOME", home, 1); /* where its files are */
  join(path, "%s/deno", cache);
  setenv("DENO_DIR", path, 1); /* V8's code cache */
  setenv("DENO_NO_UPDATE_CHECK", "1", 1);
}

int main(int argc, char **argv) {
  char cache[PATH_MAX], home[PATH_MAX], hash[33];
  char deno[PATH_MAX], config[PATH_MAX], entry[PATH_MAX];
  open_image();
  find_cache(cache);
  for (int i = 0; i < 16; i++) sprintf(hash + 2 * i, "%02x", footer.sha256[i]);
  join(home, "%s/%s", cache, hash);
  ensure_unpacked(cache, home);
  utimensat(AT_FDCWD, home, NULL, 0); /* in use: see sweep() */
  set_environment(cache, home);
  join(deno, "%s/deno", home);
  join(config, "%s/deno.json", home);
  join(entry, "%s/main.js", home);
  char *flags[] = {"llmpipe",  "run",       "--allow-all", "--no-prompt", "--no-remote", "--no-npm",
                   "--no-lock", "--quiet",  "--config",    config,        entry};
  size_t count = sizeof flags / sizeof *flags;
  char **args = calloc(count + (size_t)argc + 1, sizeof *args);
  if (!args) fail("Cannot start: no memory");
  memcpy(args, flags, sizeof flags);
  for (int i = 1; i < argc; i++) args[count++] = argv[i];
  execv(deno, args);
  fail("Cannot start %s: %s (mounted noexec? set LLMPIPE_CACHE_DIR)", deno, strerror(errno));
}
