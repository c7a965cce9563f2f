"""What breaks a ring: a number for each reason, and a sentence, which has up to two numbers of its own.

Source: VIRTIO-1.2 2.7. A number is what code can note that has no use of Python objects.
"""

SOUND = 0
TOLD = 1
"""The sentence was given as it stands."""
AHEAD, HEAD, NESTED, NEXT_OUT, LOOP, TABLE_LENGTH, TABLE_OUT, ORDER, DATA_OUT, NO_STATUS, CROWDED = range(2, 13)
WORDS = {
    AHEAD: "avail idx is {} ahead in a ring of {}",
    HEAD: "head {} in a ring of {}",
    NESTED: "indirect descriptor inside an indirect table, or with NEXT",
    NEXT_OUT: "next {} in a table of {}",
    LOOP: "chain of more than {} descriptors, a loop",
    TABLE_LENGTH: "indirect table of {} bytes",
    TABLE_OUT: "indirect table at {:#x} is not in memory",
    ORDER: "readable descriptor behind a writable one",
    DATA_OUT: "descriptor at {:#x}, {} bytes: not in memory, or a chain in too many pieces",
    NO_STATUS: "chain {}: a request without a byte for its status",
    CROWDED: "more than {} chains in flight",
}
