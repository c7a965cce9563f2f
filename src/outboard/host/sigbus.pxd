# inline: cimported, never compiled
# The compiled form of sigbus.py. One module cimports it, so there is one table.
cimport cython

cdef extern from *:
    """
    #include <signal.h>
    #include <stdint.h>
    #include <sys/mman.h>
    #include <unistd.h>
    #define OUTBOARD_SLOTS 256
    static struct { volatile uintptr_t start, end; volatile long lost; } outboard_guarded[OUTBOARD_SLOTS];
    static volatile long outboard_mended;
    static struct sigaction outboard_before;
    static uintptr_t outboard_page;

    static void outboard_on_sigbus(int number, siginfo_t *info, void *context) {
        uintptr_t at = (uintptr_t)info->si_addr;
        for (int slot = 0; slot < OUTBOARD_SLOTS; slot++) {
            if (at < outboard_guarded[slot].start || at >= outboard_guarded[slot].end)
                continue;
            void *page = (void *)(at & ~(outboard_page - 1));
            if (mmap(page, outboard_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
                == MAP_FAILED)
                break;
            __atomic_fetch_add(&outboard_guarded[slot].lost, 1, __ATOMIC_RELAXED);
            __atomic_fetch_add(&outboard_mended, 1, __ATOMIC_RELEASE);
            return;
        }
        /* Not ours: back to whoever was there before; the access is made again and faults again. */
        sigaction(SIGBUS, &outboard_before, NULL);
    }

    static long outboard_guard(unsigned char *start, Py_ssize_t length) {
        if (!outboard_page) {
            struct sigaction action = {.sa_sigaction = outboard_on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER};
            outboard_page = (uintptr_t)sysconf(_SC_PAGESIZE);
            sigemptyset(&action.sa_mask);
            if (sigaction(SIGBUS, &action, &outboard_before))
                return -1;
        }
        for (long slot = 0; slot < OUTBOARD_SLOTS; slot++) {
            if (outboard_guarded[slot].end)
                continue;
            outboard_guarded[slot].lost = 0;
            outboard_guarded[slot].start = (uintptr_t)start;
            __atomic_store_n(&outboard_guarded[slot].end, (uintptr_t)start + (uintptr_t)length, __ATOMIC_RELEASE);
            return slot;
        }
        return -1;
    }

    static long outboard_lost(long slot) {
        return slot >= 0 ? outboard_guarded[slot].lost : 0;
    }

    /* A slot without an end matches nothing; other threads may fault at any time. */
    static void outboard_forget(long slot) {
        if (slot >= 0)
            __atomic_store_n(&outboard_guarded[slot].end, 0, __ATOMIC_RELEASE);
    }
    """
    long outboard_guard(unsigned char *, Py_ssize_t) noexcept
    void outboard_forget(long) noexcept
    long outboard_lost(long) noexcept
    long outboard_mended

cdef inline long guard(unsigned char[::1] memory):
    return outboard_guard(&memory[0], memory.shape[0])

cdef inline void forget(long slot):
    outboard_forget(slot)

cdef inline long mended():
    return outboard_mended

cdef inline long lost(long slot):
    return outboard_lost(slot)
