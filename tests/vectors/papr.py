"""Hypercalls of the XIVE exploitation mode, return codes, and the numbers of the pseries machine.

Sources: LoPAPR, "XIVE exploitation mode"; QEMU docs/specs/ppc-spapr-xive, and what QEMU 7.2 answers.
"""

ENUMS = {
    "H": {
        "SUCCESS": 0,
        "HARDWARE": -1,
        "FUNCTION": -2,
        "PRIVILEGE": -3,
        "PARAMETER": -4,
        "P2": -55,
        "P3": -56,
        "P4": -57,
        "P5": -58,
        "MULTI_THREADS_ACTIVE": -9005,
    },
    "SourceInfo": {"USE_H_INT_ESB": 8, "LSI": 4, "TRIGGER_PAGE": 2, "STORE_EOI": 1},
    "SetSourceConfig": {"SET_EISN": 2, "MASK": 1},
    "SetQueueConfig": {"ALWAYS_NOTIFY": 1},
    "GetQueueConfig": {"DEBUG": 1},
    "QueueConfig": {"ALWAYS_NOTIFY": 1, "GENERATION": 2},
    "IntEsb": {"STORE": 1},
    "RtasStatus": {"NO_ERRORS_FOUND": 1, "SUCCESS": 0, "HARDWARE_ERROR": -1, "PARAMETER_ERROR": -3},
}

# Number, name, arguments and results from R4 on, the flags that may be set.
HCALLS = [
    (0x3A8, "H_INT_GET_SOURCE_INFO", 2, 4, 0x0),
    (0x3AC, "H_INT_SET_SOURCE_CONFIG", 5, 0, 0x3),
    (0x3B0, "H_INT_GET_SOURCE_CONFIG", 2, 3, 0x0),
    (0x3B4, "H_INT_GET_QUEUE_INFO", 3, 2, 0x0),
    (0x3B8, "H_INT_SET_QUEUE_CONFIG", 5, 0, 0x1),
    (0x3BC, "H_INT_GET_QUEUE_CONFIG", 3, 4, 0x1),
    (0x3C0, "H_INT_SET_OS_REPORTING_LINE", 2, 0, 0x0),
    (0x3C4, "H_INT_GET_OS_REPORTING_LINE", 2, 1, 0x0),
    (0x3C8, "H_INT_ESB", 4, 1, 0x1),
    (0x3CC, "H_INT_SYNC", 2, 0, 0x0),
    (0x3D0, "H_INT_RESET", 1, 0, 0x0),
]

TCE_HCALLS = [
    (0x1C, "H_GET_TCE", 2, 1),
    (0x20, "H_PUT_TCE", 3, 0),
    (0x138, "H_STUFF_TCE", 4, 0),
    (0x13C, "H_PUT_TCE_INDIRECT", 4, 0),
]

CPU_HCALLS = [
    (0xE0, "H_CEDE", 0, 0),
    (0xE4, "H_CONFER", 2, 0),
    (0xE8, "H_PROD", 1, 0),
]

# Name, first, last, whether its input is a level.
LISNS = [
    ("IPIS", 0x0000, 0x0FFF, False),
    ("EPOW", 0x1000, 0x1000, False),
    ("HOTPLUG", 0x1001, 0x1001, False),
    ("VIO", 0x1100, 0x11FF, False),
    ("PHB_INTX", 0x1200, 0x127B, True),
    ("MSI", 0x1300, 0x1FFF, False),
]

# Token in QEMU's device tree, name, cells of arguments and of results.
RTAS_CALLS = [
    (0x200E, "check-exception", 6, 1),
    (0x200F, "event-scan", 4, 1),
    (0x2005, "query-cpu-stopped-state", 1, 2),
    (0x2006, "start-cpu", 3, 1),
    (0x2007, "stop-self", 0, 0),
    (0x2014, "read-pci-config", 2, 2),
    (0x2015, "write-pci-config", 3, 1),
    (0x2016, "ibm,read-pci-config", 4, 2),
    (0x2017, "ibm,write-pci-config", 5, 1),
    (0x2018, "ibm,query-interrupt-source-number", 4, 3),
    (0x2019, "ibm,change-msi", 6, 3),
]

NUMBERS = {
    "NR_IRQS": 0x2000,
    "XICS_FIRST": 0x1000,
    "XICS_COUNT": 0x1000,
    "NVT_BASE": 0x400,
    "NR_PRIORITIES": 8,
    "HV_PRIORITY": 7,
    "ESB_BASE": 0x0006010000000000,
    "END_ESB_SIZE": 0x40000000,
    "TIMA_BASE": 0x0006030203180000,
    "ESB_SHIFT": 17,
    "END_ESB_SHIFT": 16,
}
