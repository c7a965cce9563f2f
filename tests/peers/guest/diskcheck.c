/*
 * Verified random I/O on a block device from inside a test guest.
 *
 *   diskcheck DEVICE FIRST COUNT DEPTH SEED PROGRESS
 *
 * Works on COUNT blocks of 4096 bytes from block FIRST on, which hold zeros at the start, with DEPTH requests of 1 to
 * 16 blocks in flight: reads and writes, O_DIRECT, asynchronous; now and then a flush, a range made zero, a range given
 * up. Every block that is written says which one it is, the how manieth time it is written, and has a checksum over
 * all of it; the rest is noise that both determine. What is read must be what was written last, or zeros. Blocks of a
 * request in flight are not touched by another one.
 *
 * It goes on until SIGTERM; then it lets everything finish, reads all blocks again, prints one line
 * "diskcheck: N reads, N writes, N flushes, N zeroed, N given up, all right", and ends with 0. At the first wrong byte
 * or failed request it says which, and ends with 1. The file PROGRESS holds the number of requests that are done.
 * DEVICE may be a regular file, too.
 *
 * Source: linux/aio_abi.h, linux/fs.h (uapi); no libaio. Build: gcc -static -O2 -o diskcheck diskcheck.c
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096u
#define MOST 16 /* blocks of a request */
#define DEPTHS 64

#define WORDS (BLOCK / 8)

enum { ZEROS, WRITTEN, ANYTHING }; /* what a block holds; anything: it was given up */
enum { MAGIC_AT, BLOCK_AT, GENERATION_AT, SUM_AT, NOISE_AT }; /* the words of a block that was written */

struct slot {
    struct iocb iocb;
    uint64_t *buffer;
    uint64_t block;
    uint32_t blocks;
    int busy;
};

static const uint64_t MAGIC = 0x6b63656863647362;
static int device;
static uint64_t first, count, seed;
static uint64_t *generations; /* of each block: how often it was written */
static uint8_t *held;         /* by each block */
static uint8_t *taken;        /* blocks of requests in flight */
static struct slot slots[DEPTHS];
static volatile sig_atomic_t ending;
static unsigned long reads, writes, flushes, zeroed, given_up;

static void die(const char *what, uint64_t block, long code)
{
    printf("diskcheck: WRONG: %s, block %llu, %ld (%s)\n", what, (unsigned long long)block, code,
           code < 0 ? strerror(-code) : "-");
    fflush(stdout);
    exit(1);
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15); /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static uint64_t sum_of(const uint64_t *words)
{
    uint64_t sum = 0xcbf29ce484222325;
    for (unsigned i = 0; i < WORDS; i++)
        if (i != SUM_AT)
            sum = (sum ^ words[i]) * 0x100000001b3 + (sum >> 32);
    return sum;
}

static void fill(uint64_t *words, uint64_t block, uint64_t generation)
{
    uint64_t state = seed ^ block << 24 ^ generation;
    words[MAGIC_AT] = MAGIC ^ seed;
    words[BLOCK_AT] = block;
    words[GENERATION_AT] = generation;
    for (unsigned i = NOISE_AT; i < WORDS; i++)
        words[i] = next_random(&state);
    words[SUM_AT] = sum_of(words);
}

static void verify(const uint64_t *words, uint64_t block)
{
    uint64_t expected = generations[block - first];
    if (held[block - first] == ANYTHING)
        return;
    if (held[block - first] == ZEROS) {
        for (unsigned i = 0; i < WORDS; i++)
            if (words[i])
                die("a word that must be zero is not", block, (long)i);
        return;
    }
    if (words[MAGIC_AT] != (MAGIC ^ seed) || words[BLOCK_AT] != block)
        die("the bytes of another block, or none of ours", block, (long)(words[BLOCK_AT] & 0xffffffff));
    if (words[GENERATION_AT] != expected)
        die("not the last write but one of another time", block, (long)(expected & 0xffffffff));
    if (words[SUM_AT] != sum_of(words))
        die("the checksum", block, (long)(expected & 0xffffffff));
}

/* Any free range; 0 blocks when there was none in a few tries. */
static uint32_t choose(uint64_t *state, uint64_t *block)
{
    for (int tries = 0; tries < 8; tries++) {
        uint32_t blocks = next_random(state) % 4 ? 1 : 1 + next_random(state) % MOST;
        uint64_t at = next_random(state) % (count - blocks + 1);
        uint32_t i = 0;
        while (i < blocks && !taken[at + i])
            i++;
        if (i == blocks) {
            *block = first + at;
            return blocks;
        }
    }
    return 0;
}

static void take(uint64_t block, uint32_t blocks, int on)
{
    memset(taken + (block - first), on, blocks);
}

static void submit(aio_context_t aio, struct slot *slot, int kind)
{
    struct iocb *list[1] = {&slot->iocb};
    memset(&slot->iocb, 0, sizeof slot->iocb);
    slot->iocb.aio_lio_opcode = kind;
    slot->iocb.aio_fildes = device;
    slot->iocb.aio_buf = (uintptr_t)slot->buffer;
    slot->iocb.aio_nbytes = (uint64_t)slot->blocks * BLOCK;
    slot->iocb.aio_offset = slot->block * BLOCK;
    slot->iocb.aio_data = (uintptr_t)slot;
    slot->busy = 1;
    take(slot->block, slot->blocks, 1);
    if (syscall(SYS_io_submit, aio, 1, list) != 1)
        die("io_submit", slot->block, -errno);
}

static void begin(aio_context_t aio, struct slot *slot, uint64_t *state)
{
    if (!(slot->blocks = choose(state, &slot->block)))
        return;
    if (next_random(state) % 2) {
        for (uint32_t i = 0; i < slot->blocks; i++) {
            uint64_t block = slot->block + i;
            held[block - first] = WRITTEN;
            fill(slot->buffer + i * WORDS, block, ++generations[block - first]);
        }
        submit(aio, slot, IOCB_CMD_PWRITE);
    } else {
        memset(slot->buffer, 0x5a, (size_t)slot->blocks * BLOCK);
        submit(aio, slot, IOCB_CMD_PREAD);
    }
}

static void finish(struct slot *slot, long result)
{
    int is_read = slot->iocb.aio_lio_opcode == IOCB_CMD_PREAD;
    if (result != (long)slot->blocks * BLOCK)
        die(is_read ? "a read failed" : "a write failed", slot->block, result);
    for (uint32_t i = 0; is_read && i < slot->blocks; i++)
        verify(slot->buffer + i * WORDS, slot->block + i);
    *(is_read ? &reads : &writes) += 1;
    take(slot->block, slot->blocks, 0);
    slot->busy = 0;
}

/* A flush, zeros, or a range given up, with the others in flight meanwhile. */
static void rarely(uint64_t *state)
{
    uint64_t block = 0;
    uint32_t blocks = choose(state, &block), kind = next_random(state) % 3;
    uint64_t range[2] = {block * BLOCK, (uint64_t)blocks * BLOCK};
    if (kind == 0) {
        if (fsync(device))
            die("fsync", 0, -errno);
        flushes++;
    } else if (blocks) {
        if (ioctl(device, kind == 1 ? BLKZEROOUT : BLKDISCARD, range) &&
            (errno != ENOTTY ||
             fallocate(device, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, range[0], range[1])))
            die(kind == 1 ? "BLKZEROOUT" : "BLKDISCARD", block, -errno);
        memset(held + (block - first), kind == 1 ? ZEROS : ANYTHING, blocks);
        *(kind == 1 ? &zeroed : &given_up) += 1;
    }
}

static void progress(const char *path)
{
    char other[256];
    snprintf(other, sizeof other, "%s~", path);
    FILE *file = fopen(other, "w");
    if (!file || fprintf(file, "%lu\n", reads + writes + flushes + zeroed + given_up) < 0 || fclose(file) ||
        rename(other, path))
        die("the file for the progress", 0, -errno);
}

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static void end(int number)
{
    (void)number;
    ending = 1;
}

int main(int argc, char **argv)
{
    aio_context_t aio = 0;
    struct io_event events[DEPTHS];
    double told = now();
    if (argc != 7)
        return 2;
    first = strtoull(argv[2], NULL, 0);
    count = strtoull(argv[3], NULL, 0);
    int depth = atoi(argv[4]);
    uint64_t state = seed = strtoull(argv[5], NULL, 0);
    device = open(argv[1], O_RDWR | O_DIRECT);
    generations = calloc(count, sizeof *generations);
    held = calloc(count, 1);
    taken = calloc(count, 1);
    if (device < 0 || !generations || !held || !taken || depth < 1 || depth > DEPTHS || count < MOST)
        die("start", 0, -errno);
    for (int i = 0; i < depth; i++)
        if (posix_memalign((void **)&slots[i].buffer, BLOCK, MOST * BLOCK))
            die("memory", 0, -ENOMEM);
    if (syscall(SYS_io_setup, DEPTHS, &aio))
        die("io_setup", 0, -errno);
    signal(SIGTERM, end);

    for (int busy = 1; busy;) {
        for (int i = 0; i < depth && !ending; i++)
            if (!slots[i].busy)
                begin(aio, &slots[i], &state);
        if (!ending && next_random(&state) % 16 == 0)
            rarely(&state);
        busy = 0;
        for (int i = 0; i < depth; i++)
            busy += slots[i].busy;
        struct timespec tenth = {0, 100000000};
        long got = busy ? syscall(SYS_io_getevents, aio, 1, DEPTHS, events, &tenth) : 0;
        if (got < 0 && errno != EINTR)
            die("io_getevents", 0, -errno);
        for (long i = 0; i < got; i++)
            finish((struct slot *)(uintptr_t)events[i].data, events[i].res);
        busy = busy || !ending;
        if (now() - told > 0.1) {
            progress(argv[6]);
            told = now();
        }
    }

    for (uint64_t block = first; block < first + count; block += MOST) {
        uint32_t blocks = first + count - block < MOST ? first + count - block : MOST;
        ssize_t got = pread(device, slots[0].buffer, (size_t)blocks * BLOCK, block * BLOCK);
        if (got != (ssize_t)blocks * BLOCK)
            die("a read at the end failed", block, got < 0 ? -errno : got);
        for (uint32_t i = 0; i < blocks; i++)
            verify(slots[0].buffer + i * WORDS, block + i);
    }
    progress(argv[6]);
    printf("diskcheck: %lu reads, %lu writes, %lu flushes, %lu zeroed, %lu given up, all right\n", reads, writes,
           flushes, zeroed, given_up);
    return 0;
}
