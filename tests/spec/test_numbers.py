"""Every number that the documents give, against the hand-typed tables."""

import pytest

from outboard.spec import vhost_user, vhost_user_gpu, virtio, virtio_blk, virtio_gpu
from tests.vectors import numbers


@pytest.mark.parametrize(
    ("enum", "table"),
    [
        pytest.param(vhost_user.Req, numbers.CONTROL_REQUESTS, id="control requests"),
        pytest.param(vhost_user.BackendReq, numbers.BACKEND_REQUESTS, id="back-end's requests"),
        pytest.param(vhost_user.ProtocolFeature, numbers.CONTROL_FEATURES, id="control features"),
        pytest.param(vhost_user_gpu.Req, numbers.DISPLAY_REQUESTS, id="display requests"),
        pytest.param(vhost_user_gpu.ProtocolFeature, numbers.DISPLAY_FEATURES, id="display features"),
        pytest.param(virtio.Feature, numbers.VIRTIO_FEATURES, id="virtio features"),
        pytest.param(virtio_gpu.Feature, numbers.GPU_FEATURES, id="gpu features"),
        pytest.param(virtio_gpu.Cmd, numbers.COMMANDS, id="commands"),
        pytest.param(virtio_gpu.Resp, numbers.RESPONSES, id="responses"),
        pytest.param(virtio_gpu.Format, numbers.FORMATS, id="formats"),
        pytest.param(virtio_blk.Feature, numbers.BLOCK_FEATURES, id="block features"),
        pytest.param(virtio_blk.Type, numbers.BLOCK_TYPES, id="block requests"),
        pytest.param(virtio_blk.Status, {"OK": 0, "IOERR": 1, "UNSUPP": 2}, id="block statuses"),
        pytest.param(virtio.DescFlag, {"NEXT": 1, "WRITE": 2, "INDIRECT": 4}, id="descriptor flags"),
        pytest.param(virtio_gpu.HdrFlag, {"FENCE": 1, "INFO_RING_IDX": 2}, id="header flags"),
        pytest.param(virtio_gpu.BlobMem, {"GUEST": 1, "HOST3D": 2, "HOST3D_GUEST": 3}, id="blob memory"),
        pytest.param(virtio_gpu.BlobFlag, {"MAPPABLE": 1, "SHAREABLE": 2, "CROSS_DEVICE": 4}, id="blob flags"),
    ],
)
def test_names_have_the_document_s_numbers(enum, table):
    assert {one.name: int(one) for one in enum} == table


def test_display_features_are_masks_and_not_bit_numbers():
    assert (vhost_user_gpu.ProtocolFeature.EDID, vhost_user_gpu.ProtocolFeature.DMABUF2) == (1, 2)
    both = vhost_user_gpu.ProtocolFeature(3)
    assert vhost_user_gpu.ProtocolFeature.EDID in both
    assert vhost_user_gpu.ProtocolFeature.DMABUF2 in both


def test_header_flags_are_the_document_s():
    assert (vhost_user.VERSION, vhost_user.FLAG_REPLY, vhost_user.FLAG_NEED_REPLY) == (1, 4, 8)
    assert (vhost_user.VERSION_MASK, vhost_user.VRING_INDEX_MASK, vhost_user.VRING_NOFD) == (3, 0xFF, 0x100)
    assert vhost_user_gpu.FLAG_REPLY == 4
    assert vhost_user.F_PROTOCOL_FEATURES == 0x4000_0000


def test_limits_are_the_document_s():
    assert (vhost_user.MAX_REGIONS, vhost_user.MAX_CONFIG) == (8, 256)
    assert (virtio_gpu.MAX_SCANOUTS, virtio_gpu.MAX_BACKING_ENTRIES, virtio_gpu.EDID_MAX) == (16, 16384, 1024)
    assert (virtio_gpu.CONTROL_QUEUE, virtio_gpu.CURSOR_QUEUE, virtio.DEVICE_ID_GPU) == (0, 1, 16)
    assert vhost_user_gpu.CURSOR_DATA == 16384
    assert (virtio.AVAIL_NO_INTERRUPT, virtio.USED_NO_NOTIFY) == (1, 1)


def size(layout):
    return layout.sizeof if layout else None


def test_the_display_s_requests_have_the_document_s_payloads():
    rows = {}
    for number, row in vhost_user_gpu.REQUESTS.items():
        reply = 0 if row.acknowledged else size(row.reply)
        rows[int(number)] = (size(row.payload) or 0, reply, row.fds[1])
    assert rows == numbers.DISPLAY_PAYLOADS


def test_only_edid_and_dmabuf2_need_a_feature():
    needs = {int(number): int(row.feature) for number, row in vhost_user_gpu.REQUESTS.items() if row.feature}
    assert needs == {11: 1, 12: 2}


def test_the_control_requests_have_the_document_s_payloads():
    rows = {}
    for number, row in vhost_user.REQUESTS.items():
        rows[int(number)] = (size(row.payload) or 0, size(row.reply), *row.fds)
    assert rows == numbers.CONTROL_PAYLOADS


@pytest.mark.parametrize("table", [virtio_gpu.COMMANDS, virtio_gpu.CURSOR_COMMANDS])
def test_the_commands_have_the_document_s_sizes(table):
    for number, row in table.items():
        assert (row.request.sizeof, row.response.sizeof) == numbers.COMMAND_SIZES[int(number)], row.cmd


def test_every_command_of_the_document_is_served_once():
    assert set(map(int, [*virtio_gpu.COMMANDS, *virtio_gpu.CURSOR_COMMANDS])) == set(numbers.COMMAND_SIZES)


@pytest.mark.parametrize(("queue_size", "size"), [(1, 64), (3, 64), (4, 128), (64, 1088), (128, 2112), (1024, 16448)])
def test_the_regions_of_an_inflight_area_lie_as_other_back_ends_lay_them_out(queue_size, size):
    assert vhost_user.inflight_region_size(queue_size) == size
    assert (vhost_user.INFLIGHT_VERSION, vhost_user.INFLIGHT_ALIGN) == (1, 64)


def test_a_disk_s_units_are_the_document_s():
    assert (virtio_blk.DEVICE_ID, virtio_blk.SECTOR, 1 << virtio_blk.SECTOR_BITS) == (2, 512, 512)
    assert (virtio_blk.ID_BYTES, virtio_blk.UNMAP) == (20, 1)
    assert {int(number): int(row.type) for number, row in virtio_blk.REQUESTS.items()} == {
        number: number for number in (0, 1, 4, 8, 11, 13)
    }
    needs = {int(row.type): int(row.feature) for row in virtio_blk.REQUESTS.values() if row.feature}
    assert needs == {11: 0x2000, 13: 0x4000}
    assert {int(row.type) for row in virtio_blk.REQUESTS.values() if row.changes} == {1, 11, 13}
