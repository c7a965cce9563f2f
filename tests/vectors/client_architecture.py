"""Option vectors, logical PVRs and processors. Source: LoPAPR, "Option Vectors"; what QEMU 7.2 answers."""

# Name, byte from 1, mask within it.
OPTION_BITS = [
    ("OV1_ISA_3_00", 3, 0x80),
    ("DRCONF_MEMORY", 2, 0x20),
    ("FORM1_AFFINITY", 5, 0x80),
    ("FORM2_AFFINITY", 5, 0x20),
    ("HOTPLUG_EVENTS", 6, 0x04),
    ("HPT_RESIZE", 6, 0x01),
    ("DRMEM_V2", 22, 0x80),
    ("XIVE_BOTH", 23, 0x80),
    ("XIVE_EXPLOITATION", 23, 0x40),
    ("MMU_BOTH", 24, 0x80),
    ("MMU_RADIX", 24, 0x40),
    ("RADIX_GTSE", 26, 0x40),
]

# From the oldest.
LEVELS = [
    (0x0F000002, "power6", "2.05"),
    (0x0F000003, "power7", "2.06"),
    (0x0F100003, "power7+", "2.06 plus"),
    (0x0F000004, "power8", "2.07"),
    (0x0F000005, "power9", "3.00"),
    (0x0F000006, "power10", "3.1"),
]

CPU_MODELS = [
    ("power8", "PowerPC,POWER8", 0x004D0200, "power8"),
    ("power9", "PowerPC,POWER9", 0x004E1200, "power9"),
    ("power10", "PowerPC,POWER10", 0x00800200, "power10"),
]

NUMBERS = {
    "OPTION_VECTOR_MAX": 256,
    "PVR_PAIRS_MAX": 512,
    "H_CAS": 0xF002,
    "CAS_HEADER_SIZE": 4,
    "CAS_VERSION": 1,
}
