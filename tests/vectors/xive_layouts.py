"""Fields, offsets, numbers of the POWER9 XIVE and of its hypercalls.

Sources: QEMU docs/specs/ppc-xive and docs/specs/ppc-spapr-xive, and what QEMU 7.2 answers; LoPAPR, "XIVE exploitation
mode".
"""

# Structure: bits of a word, words, and each field's word, mask and shift.
WORDS = {
    "SourceStatus": (8, 1, {"asserted": (0, 0x04, 2), "p": (0, 0x02, 1), "q": (0, 0x01, 0)}),
    "Lisn": (32, 1, {"block": (0, 0xF0000000, 28), "index": (0, 0x0FFFFFFF, 0)}),
    "TriggerData": (
        64,
        1,
        {
            "end_trigger": (0, 0x8000000000000000, 63),
            "pq_checked": (0, 0x4000000000000000, 62),
            "lisn": (0, 0x00000000FFFFFFFF, 0),
        },
    ),
    "EAS": (
        64,
        1,
        {
            "valid": (0, 0x8000000000000000, 63),
            "end_block": (0, 0x0F00000000000000, 56),
            "end_index": (0, 0x00FFFFFF00000000, 32),
            "masked": (0, 0x0000000080000000, 31),
            "end_data": (0, 0x000000007FFFFFFF, 0),
        },
    ),
    "END": (
        32,
        8,
        {
            "valid": (0, 0x80000000, 31),
            "enqueue": (0, 0x40000000, 30),
            "ucond_notify": (0, 0x20000000, 29),
            "backlog": (0, 0x10000000, 28),
            "precl_esc_ctl": (0, 0x08000000, 27),
            "escalate_ctl": (0, 0x04000000, 26),
            "uncond_escalate": (0, 0x02000000, 25),
            "silent_escalate": (0, 0x01000000, 24),
            "qsize": (0, 0x000F0000, 16),
            "sw0": (0, 0x00008000, 15),
            "hwdep": (0, 0x000000FF, 0),
            "esn": (1, 0xC0000000, 30),
            "ese": (1, 0x30000000, 28),
            "generation": (1, 0x00400000, 22),
            "page_off": (1, 0x003FFFFF, 0),
            "migration_reg": (2, 0xF0000000, 28),
            "op_desc_hi": (2, 0x0FFFFFFF, 0),
            "op_desc_lo": (3, 0xFFFFFFFF, 0),
            "esc_valid": (4, 0x80000000, 31),
            "esc_end_block": (4, 0x0F000000, 24),
            "esc_end_index": (4, 0x00FFFFFF, 0),
            "esc_masked": (5, 0x80000000, 31),
            "esc_end_data": (5, 0x7FFFFFFF, 0),
            "format": (6, 0x00800000, 23),
            "nvt_block": (6, 0x00780000, 19),
            "nvt_index": (6, 0x0007FFFF, 0),
            "ignore": (7, 0x80000000, 31),
            "blk_grouping": (7, 0x40000000, 30),
            "priority": (7, 0x00FF0000, 16),
            "wakez": (7, 0x80000000, 31),
            "log_server_id": (7, 0x7FFFFFFF, 0),
        },
    ),
    "NVT": (
        32,
        16,
        {
            "valid": (0, 0x80000000, 31),
            "eq_block": (1, 0xF0000000, 28),
            "eq_index": (1, 0x0FFFFFFF, 0),
            "ipb": (4, 0x0000FF00, 8),
            "grp_valid": (8, 0x80000000, 31),
        },
    ),
    "EqEntry": (32, 1, {"generation": (0, 0x80000000, 31), "data": (0, 0x7FFFFFFF, 0)}),
    "RingW2": (
        32,
        1,
        {
            "valid": (0, 0x80000000, 31),
            "logical_server": (0, 0x7FFFFFFF, 0),
            "cam": (0, 0x00FFFFFF, 0),
            "lp": (0, 0x02000000, 25),
            "le": (0, 0x01000000, 24),
            "t": (0, 0x00000001, 0),
        },
    ),
    "Cam": (32, 1, {"nvt_block": (0, 0x00780000, 19), "nvt_index": (0, 0x0007FFFF, 0)}),
}

SIZES = {
    "SourceStatus": 1,
    "Lisn": 4,
    "TriggerData": 8,
    "EAS": 8,
    "END": 32,
    "NVT": 64,
    "EqEntry": 4,
    "RingW2": 4,
    "Cam": 4,
}

XIVE_ENUMS = {
    "PQ": {"RESET": 0, "PENDING": 2, "QUEUED": 3, "OFF": 1},
    "SourceFlag": {"H_INT_ESB": 1, "STORE_EOI": 2, "PQ_DISABLE": 4},
    "EsbLoad": {
        "EOI": 0x000,
        "GET": 0x800,
        "SET_PQ_00": 0xC00,
        "SET_PQ_01": 0xD00,
        "SET_PQ_10": 0xE00,
        "SET_PQ_11": 0xF00,
    },
    "EsbStore": {
        "TRIGGER": 0x000,
        "EOI": 0x400,
        "INJECT": 0x800,
        "SET_PQ_00": 0xC00,
        "SET_PQ_01": 0xD00,
        "SET_PQ_10": 0xE00,
        "SET_PQ_11": 0xF00,
    },
    "Ring": {"USER": 0x00, "OS": 0x10, "POOL": 0x20, "PHYS": 0x30},
    "Reg": {
        "NSR": 0,
        "CPPR": 1,
        "IPB": 2,
        "LSMFB": 3,
        "ACK_CNT": 4,
        "INC": 5,
        "AGE": 6,
        "PIPR": 7,
        "W2": 8,
        "W3": 12,
    },
    "View": {"HW": 0, "HV": 1, "OS": 2, "USER": 3},
}

XIVE_NUMBERS = {
    "PAGE_64K_SHIFT": 16,
    "ESB_OFFSET_MASK": 0xFFF,
    "ESB_ACCESS_SIZE": 8,
    "NVT_INDEX_BITS": 19,
    "END_QSIZE_SHIFT": 12,
    "EQ_ENTRY_SIZE": 4,
    "END_RESET_W1": 0x50000000,
    "HW_CAM_THREAD": 0x80,
    "HW_CAM_PIR_MASK": 0x7F,
    "RING_SIZE": 16,
    "TCTX_SIZE": 64,
    "NSR_EO": 0x80,
    "NSR_HE_PHYS": 0x80,
    "NSR_HE": 0xC0,
    "NSR_HE_POOL": 0x40,
    "NSR_GROUP": 0x3F,
    "PRIORITY_MAX": 7,
    "PRIORITY_NONE": 0xFF,
    "TIMA_SIZE": 0x40000,
    "TIMA_OFFSET_MASK": 0xFFF,
    "TIMA_SPECIAL": 0x800,
    "TIMA_REPEATS": 16,
}

# First and last offsets.
ESB_LOADS = [(0x000, 0x7FF), (0x800, 0xBFF), (0xC00, 0xCFF), (0xD00, 0xDFF), (0xE00, 0xEFF), (0xF00, 0xFFF)]
ESB_STORES = [(0x000, 0x3FF), (0x400, 0x7FF), *ESB_LOADS[1:]]

# State: the state that follows.
TRIGGER = {0b00: 0b10, 0b10: 0b11, 0b11: 0b11, 0b01: 0b01}
EOI = {0b00: 0b00, 0b10: 0b00, 0b11: 0b10, 0b01: 0b01}

# Ring: bytes after a reset.
RESET_RINGS = {
    0x00: "00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00",
    0x10: "00 00 00 ff ff 00 ff ff  00 00 00 00 00 00 00 00",
    0x20: "00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00",
    0x30: "00 00 00 00 00 00 00 ff  00 00 00 00 00 00 00 00",
}

# View: the masks of what may be stored, and of what may be loaded, 8 bytes each from offset 0.
TIMA_STORE_MASKS = {
    0: "ff00000000000000 ffffffff00000000 ffffffffffff0000 ffffffff00000000"
    "   0000ffff00000000 ffffffff00000000 ffffffff00ff0000 ff0000ffffffff00",
    1: "ff00000000000000 ffffffff00000000 ffffffffffff0000 ffffffff00000000"
    "   0000ffff00000000 00ffffff00000000 ffffffff00ff0000 ff0000ff00000000",
    2: "ff00000000000000 ffffffff00000000 00ff000000000000 0000000000000000"
    "   0000000000000000 0000000000000000 0000000000000000 0000000000000000",
    3: "ff00000000000000 0000000000000000 0000000000000000 0000000000000000"
    "   0000000000000000 0000000000000000 0000000000000000 0000000000000000",
}
TIMA_LOAD_MASKS = {
    0: "ff00000000000000 ffffffff00000000 ffffffffffff00ff ffffffff00000000"
    "   0000ffff00000000 ffffffff00000000 ffffffff00ff00ff ff0000ffffffff00",
    1: "ff00000000000000 ffffffff00000000 ffffffffffff00ff ffffffff00000000"
    "   0000ffff00000000 00ffffff00000000 ffffffff00ff00ff ff0000ff00000000",
    2: "ff00000000000000 ffffffff00000000 ffffffffffff00ff 0000000000000000"
    "   0000000000000000 0000000000000000 0000000000000000 0000000000000000",
    3: "ff00000000000000 0000000000000000 0000000000000000 0000000000000000"
    "   0000000000000000 0000000000000000 0000000000000000 0000000000000000",
}

# Name, least privileged view, offset, sizes, store or load; in the order in which they are looked up.
TIMA_OPS = [
    ("SET_OS_CPPR", 2, 0x011, (1,), "store"),
    ("PUSH_OS_CTX", 1, 0x018, (4,), "store"),
    ("SET_HV_CPPR", 1, 0x031, (1,), "store"),
    ("VT_PUSH", 1, 0x038, (1,), "store"),
    ("VT_POLL", 1, 0x038, (1,), "load"),
    ("ACCEPT_OS", 2, 0x810, (2,), "load"),
    ("SET_OS_PENDING", 2, 0x812, (1,), "store"),
    ("PULL_OS_CTX", 1, 0x818, (4, 8), "load"),
    ("ACCEPT_HV", 1, 0x830, (2,), "load"),
    ("PULL_POOL_CTX", 1, 0x828, (4, 8), "load"),
]
# The one that QEMU 10.0 has besides.
TIMA_OP_OF_10 = ("PULL_PHYS_CTX", 1, 0x838, (1,), "load")

# Priority: its bit in an IPB.
IPB_BITS = {0: 0x80, 1: 0x40, 2: 0x20, 3: 0x10, 4: 0x08, 5: 0x04, 6: 0x02, 7: 0x01, 8: 0, 9: 0, 254: 0, 255: 0}

# IPB: the most favoured priority in it.
PIPRS = {
    0x00: 0xFF,
    0x01: 7,
    0x02: 6,
    0x03: 6,
    0x04: 5,
    0x08: 4,
    0x0C: 4,
    0x10: 3,
    0x1F: 3,
    0x20: 2,
    0x40: 1,
    0x7F: 1,
    0x80: 0,
    0x81: 0,
    0xFF: 0,
}
