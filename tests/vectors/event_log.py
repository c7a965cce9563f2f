"""Platform event logs, version 6. Source: LoPAPR, "Error and Event Notification"; layouts as QEMU 7.2 writes them."""

ENUMS = {
    "EventMask": {"INTERNAL_ERRORS": 0x80000000, "EPOW": 0x40000000, "HOTPLUG": 0x10000000, "IO": 0x08000000},
    "EventType": {"EPOW": 0x40, "HOTPLUG": 0xE5},
    "HotplugType": {"CPU": 1, "MEMORY": 2, "SLOT": 3, "PHB": 4, "PCI": 5},
    "HotplugAction": {"ADD": 1, "REMOVE": 2},
}
NUMBERS = {"SUMMARY": 0x06340000, "INITIATOR_HOTPLUG": 0x6000}

# Structure: its size, and the offsets of fields that are not zero.
LAYOUTS = {
    "RtasErrorLog": (8, {"summary": 0, "extended_length": 4}),
    "EventLogV6": (16, {"b0": 0, "b2": 2, "company": 12}),
    "MainA": (48, {"section_length": 2, "creation_date": 8, "creation_time": 12, "creator_id": 24, "plid": 40}),
    "MainB": (24, {"section_length": 2, "subsystem_id": 8, "event_subtype": 11}),
    "Epow": (20, {"section_version": 4, "sensor_value": 8, "event_modifier": 9, "extended_modifier": 10}),
    "Hotplug": (20, {"hotplug_type": 8, "hotplug_action": 9, "hotplug_identifier": 10, "drc_index": 12}),
}
