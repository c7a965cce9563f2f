"""PCI, virtio over PCI and event logs, against the hand-typed tables."""

import pytest

from outboard.spec import event_log, pci, virtio_pci
from tests.spec import declared
from tests.vectors import event_log as logs
from tests.vectors import pci as table


@pytest.mark.parametrize(
    ("module", "enums", "numbers", "rest"),
    [
        (pci, table.ENUMS, table.NUMBERS, {"Capability"}),
        (virtio_pci, table.VIRTIO_ENUMS, table.VIRTIO_NUMBERS, set()),
        (event_log, logs.ENUMS, logs.NUMBERS, logs.LAYOUTS.keys()),
    ],
)
def test_names_have_the_document_s_numbers(module, enums, numbers, rest):
    assert declared.enums(module) == enums
    assert declared.numbers(module) == numbers
    assert set(declared.public(module)) == {*enums, *numbers, *rest}


def test_structures_are_the_document_s():
    for name, (size, offsets) in logs.LAYOUTS.items():
        layout = getattr(event_log, name)
        assert (layout.sizeof, layout.byte_order) == (size, ">")
        assert {field: layout.offsetof(field) for field in offsets} == offsets
