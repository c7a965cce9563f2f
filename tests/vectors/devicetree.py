"""The flattened device tree. Source: Devicetree Specification v0.4, chapter 5."""

ENUMS = {"Token": {"BEGIN_NODE": 1, "END_NODE": 2, "PROP": 3, "NOP": 4, "END": 9}}

NUMBERS = {
    "MAGIC": 0xD00DFEED,
    "VERSION": 17,
    "LAST_COMPATIBLE": 16,
    "CELL": 4,
    "RESERVE_ALIGNMENT": 8,
}

# Structure: its size, then offset, size and name of each field.
LAYOUTS = {
    "Header": (
        40,
        [
            (0, 4, "magic"),
            (4, 4, "totalsize"),
            (8, 4, "off_dt_struct"),
            (12, 4, "off_dt_strings"),
            (16, 4, "off_mem_rsvmap"),
            (20, 4, "version"),
            (24, 4, "last_comp_version"),
            (28, 4, "boot_cpuid_phys"),
            (32, 4, "size_dt_strings"),
            (36, 4, "size_dt_struct"),
        ],
    ),
    "ReserveEntry": (16, [(0, 8, "address"), (8, 8, "size")]),
    "Property": (8, [(0, 4, "len"), (4, 4, "nameoff")]),
}
