"""Platform event logs, version 6, as a guest gets them by RTAS.

Source: LoPAPR, "Error and Event Notification", "Platform Event Log Format, Version 6". All numbers are big-endian.

Modelled: the sections of an EPOW event and of a hotplug event. Not modelled: other sections and events.
"""

from enum import IntEnum, IntFlag
from typing import Annotated

from outboard.layout import Bytes, Layout, says, u8, u16, u32, u64


class EventMask(IntFlag):
    """Classes of events that a guest asks for."""

    INTERNAL_ERRORS = 0x8000_0000
    EPOW = 0x4000_0000
    HOTPLUG = 0x1000_0000
    IO = 0x0800_0000


class EventType(IntEnum):
    """Low byte of the first word of a log."""

    EPOW = 0x40
    HOTPLUG = 0xE5


SUMMARY = 0x0634_0000
"""First word without the type: version 6, an event, not recovered, with an extended log."""
INITIATOR_HOTPLUG = 0x6000


class RtasErrorLog(Layout, byte_order=">"):
    """struct rtas_error_log: the fixed part."""

    summary: u32 = SUMMARY
    extended_length: u32 = 0


class EventLogV6(Layout, byte_order=">"):
    """struct rtas_event_log_v6: head of the extended log."""

    b0: u8 = says("valid, a new log, big-endian", default=0x86)
    resv1: u8 = 0
    b2: u8 = says("PowerPC, a platform event", default=0x8E)
    resv2: Annotated[bytes, Bytes(9)] = bytes(9)
    company: Annotated[bytes, Bytes(4)] = b"IBM\0"


class MainA(Layout, byte_order=">"):
    """Section PH. Date and time are decimal digits: YYYYMMDD and HHMMSS00."""

    section_id: u16 = 0x5048
    section_length: u16 = 48
    section_version: u8 = 0
    section_subtype: u8 = 0
    creator_component_id: u16 = 0
    creation_date: u32 = 0
    creation_time: u32 = 0
    platform1: u64 = 0
    creator_id: u8 = says("'H', the hypervisor", default=ord("H"))
    resv1: u16 = 0
    section_count: u8 = 3
    resv2: u32 = 0
    platform2: u64 = 0
    plid: u32 = says("number of the log", default=0)
    platform3: u32 = 0


class MainB(Layout, byte_order=">"):
    """Section UH."""

    section_id: u16 = 0x5548
    section_length: u16 = 24
    section_version: u8 = 0
    section_subtype: u8 = 0
    creator_component_id: u16 = 0
    subsystem_id: u8 = 0
    platform1: u8 = 0
    event_severity: u8 = 0
    event_subtype: u8 = 0
    platform2: u32 = 0
    resv1: u16 = 0
    action_flags: u16 = 0
    resv2: u32 = 0


class Epow(Layout, byte_order=">"):
    """Section EP: environment and power."""

    section_id: u16 = 0x4550
    section_length: u16 = 20
    section_version: u8 = 2
    section_subtype: u8 = 0
    creator_component_id: u16 = 0
    sensor_value: u8 = says("3: shut down", default=3)
    event_modifier: u8 = says("1: nothing special", default=1)
    extended_modifier: u8 = says("1: of this partition", default=1)
    resv: u8 = 0
    reason_code: u64 = 0


class HotplugType(IntEnum):
    """What is plugged."""

    CPU = 1
    MEMORY = 2
    SLOT = 3
    PHB = 4
    PCI = 5


class HotplugAction(IntEnum):
    """What happens to it."""

    ADD = 1
    REMOVE = 2


class Hotplug(Layout, byte_order=">"):
    """Section HP: what shall be configured, by the index of its connector."""

    section_id: u16 = 0x4850
    section_length: u16 = 20
    section_version: u8 = 1
    section_subtype: u8 = 0
    creator_component_id: u16 = 0
    hotplug_type: u8 = 0
    hotplug_action: u8 = 0
    hotplug_identifier: u8 = says("2: index of a connector", default=2)
    reserved: u8 = 0
    drc_index: u32 = 0
    drc_rest: u32 = 0
