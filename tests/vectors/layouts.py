"""Sizes and offsets of every structure on the wire, and its C declaration.

Sources: QEMU docs/interop/vhost-user (control socket), docs/interop/vhost-user-gpu (GPU socket), VIRTIO-1.2 2.7
(virtqueues), 5.2 (block), 5.7 (GPU). Structures are packed. The declarations are a second reading of the same documents
for dissect.cstruct.
"""

CONTROL = {
    "Header": (12, {"request": 0, "flags": 4, "size": 8}),
    "U64": (8, {"value": 0}),
    "VringState": (8, {"index": 0, "num": 4}),
    "VringAddr": (40, {"index": 0, "flags": 4, "descriptor": 8, "used": 16, "available": 24, "log": 32}),
    "MemoryRegion": (32, {"guest_addr": 0, "memory_size": 8, "user_addr": 16, "mmap_offset": 24}),
    "MemTable": (8, {"nregions": 0, "padding": 4}),
    "SingleRegion": (40, {"padding": 0, "region": 8, "region.guest_addr": 8, "region.mmap_offset": 32}),
    "ConfigSpace": (12, {"offset": 0, "length": 4, "flags": 8}),
    "LogArea": (16, {"log_size": 0, "log_offset": 8}),
    "Inflight": (24, {"mmap_size": 0, "mmap_offset": 8, "num_queues": 16, "queue_size": 18, "padding": 20}),
    "DescStateSplit": (16, {"inflight": 0, "padding": 1, "next": 6, "counter": 8}),
    "QueueRegionSplit": (16, {"features": 0, "version": 8, "desc_num": 10, "last_batch_head": 12, "used_idx": 14}),
    "Iotlb": (26, {"iova": 0, "size": 8, "user_addr": 16, "perm": 24, "type": 25}),
    "DeviceState": (8, {"direction": 0, "phase": 4}),
    "VringArea": (24, {"vring": 0, "size": 8, "offset": 16}),
    "SharedObject": (16, {"uuid": 0}),
    "ShmemConfig": (8, {"nregions": 0, "padding": 4}),
    "Mmap": (40, {"shmid": 0, "padding": 1, "fd_offset": 8, "shm_offset": 16, "length": 24, "flags": 32}),
}

CONTROL_C = """
struct Header { uint32 request; uint32 flags; uint32 size; };
struct U64 { uint64 value; };
struct VringState { uint32 index; uint32 num; };
struct VringAddr { uint32 index; uint32 flags; uint64 descriptor; uint64 used; uint64 available; uint64 log; };
struct MemoryRegion { uint64 guest_addr; uint64 memory_size; uint64 user_addr; uint64 mmap_offset; };
struct MemTable { uint32 nregions; uint32 padding; };
struct SingleRegion { uint64 padding; struct MemoryRegion region; };
struct ConfigSpace { uint32 offset; uint32 length; uint32 flags; };
struct LogArea { uint64 log_size; uint64 log_offset; };
struct Inflight { uint64 mmap_size; uint64 mmap_offset; uint16 num_queues; uint16 queue_size; uint32 padding; };
struct DescStateSplit { uint8 inflight; char padding[5]; uint16 next; uint64 counter; };
struct QueueRegionSplit { uint64 features; uint16 version; uint16 desc_num; uint16 last_batch_head; uint16 used_idx; };
struct Iotlb { uint64 iova; uint64 size; uint64 user_addr; uint8 perm; uint8 type; };
struct DeviceState { uint32 direction; uint32 phase; };
struct VringArea { uint64 vring; uint64 size; uint64 offset; };
struct SharedObject { char uuid[16]; };
struct ShmemConfig { uint32 nregions; uint32 padding; };
struct Mmap { uint8 shmid; char padding[7]; uint64 fd_offset; uint64 shm_offset; uint64 length; uint64 flags; };
"""

DISPLAY = {
    "Header": (12, {"request": 0, "flags": 4, "size": 8}),
    "U64": (8, {"value": 0}),
    "CursorPos": (12, {"scanout_id": 0, "x": 4, "y": 8}),
    "CursorUpdate": (16404, {"pos": 0, "pos.x": 4, "pos.y": 8, "hot_x": 12, "hot_y": 16, "data": 20}),
    "Scanout": (12, {"scanout_id": 0, "width": 4, "height": 8}),
    "Update": (20, {"scanout_id": 0, "x": 4, "y": 8, "width": 12, "height": 16}),
    "DmabufScanout": (
        40,
        {
            "scanout_id": 0,
            "x": 4,
            "y": 8,
            "width": 12,
            "height": 16,
            "fd_width": 20,
            "fd_height": 24,
            "fd_stride": 28,
            "fd_flags": 32,
            "fd_drm_fourcc": 36,
        },
    ),
    "DmabufScanout2": (48, {"dmabuf_scanout": 0, "dmabuf_scanout.fd_stride": 28, "modifier": 40}),
    "EdidRequest": (4, {"scanout_id": 0}),
}

DISPLAY_C = """
struct Header { uint32 request; uint32 flags; uint32 size; };
struct U64 { uint64 value; };
struct CursorPos { uint32 scanout_id; uint32 x; uint32 y; };
struct CursorUpdate { struct CursorPos pos; uint32 hot_x; uint32 hot_y; char data[16384]; };
struct Scanout { uint32 scanout_id; uint32 width; uint32 height; };
struct Update { uint32 scanout_id; uint32 x; uint32 y; uint32 width; uint32 height; };
struct DmabufScanout {
    uint32 scanout_id; uint32 x; uint32 y; uint32 width; uint32 height;
    uint32 fd_width; uint32 fd_height; uint32 fd_stride; uint32 fd_flags; int32 fd_drm_fourcc;
};
struct DmabufScanout2 { struct DmabufScanout dmabuf_scanout; uint64 modifier; };
struct EdidRequest { uint32 scanout_id; };
"""

RING = {
    "Desc": (16, {"addr": 0, "len": 8, "flags": 12, "next": 14}),
    "AvailHeader": (4, {"flags": 0, "idx": 2}),
    "UsedHeader": (4, {"flags": 0, "idx": 2}),
    "UsedElem": (8, {"id": 0, "len": 4}),
}

RING_C = """
struct Desc { uint64 addr; uint32 len; uint16 flags; uint16 next; };
struct AvailHeader { uint16 flags; uint16 idx; };
struct UsedHeader { uint16 flags; uint16 idx; };
struct UsedElem { uint32 id; uint32 len; };
"""

BLOCK = {
    "Geometry": (4, {"cylinders": 0, "heads": 2, "sectors": 3}),
    "Topology": (8, {"physical_block_exp": 0, "alignment_offset": 1, "min_io_size": 2, "opt_io_size": 4}),
    "Config": (
        72,
        {
            "capacity": 0,
            "size_max": 8,
            "seg_max": 12,
            "geometry": 16,
            "blk_size": 20,
            "topology": 24,
            "writeback": 32,
            "unused0": 33,
            "num_queues": 34,
            "max_discard_sectors": 36,
            "max_discard_seg": 40,
            "discard_sector_alignment": 44,
            "max_write_zeroes_sectors": 48,
            "max_write_zeroes_seg": 52,
            "write_zeroes_may_unmap": 56,
            "unused1": 57,
            "max_secure_erase_sectors": 60,
            "max_secure_erase_seg": 64,
            "secure_erase_sector_alignment": 68,
        },
    ),
    "ReqHeader": (16, {"type": 0, "reserved": 4, "sector": 8}),
    "DiscardWriteZeroes": (16, {"sector": 0, "num_sectors": 8, "flags": 12}),
}

BLOCK_C = """
struct Geometry { uint16 cylinders; uint8 heads; uint8 sectors; };
struct Topology { uint8 physical_block_exp; uint8 alignment_offset; uint16 min_io_size; uint32 opt_io_size; };
struct Config {
    uint64 capacity; uint32 size_max; uint32 seg_max; struct Geometry geometry; uint32 blk_size;
    struct Topology topology;
    uint8 writeback; uint8 unused0; uint16 num_queues; uint32 max_discard_sectors; uint32 max_discard_seg;
    uint32 discard_sector_alignment; uint32 max_write_zeroes_sectors; uint32 max_write_zeroes_seg;
    uint8 write_zeroes_may_unmap; uint8 unused1[3]; uint32 max_secure_erase_sectors; uint32 max_secure_erase_seg;
    uint32 secure_erase_sector_alignment;
};
struct ReqHeader { uint32 type; uint32 reserved; uint64 sector; };
struct DiscardWriteZeroes { uint64 sector; uint32 num_sectors; uint32 flags; };
"""

GPU = {
    "Config": (16, {"events_read": 0, "events_clear": 4, "num_scanouts": 8, "num_capsets": 12}),
    "CtrlHdr": (24, {"type": 0, "flags": 4, "fence_id": 8, "ctx_id": 16, "ring_idx": 20, "padding": 21}),
    "Rect": (16, {"x": 0, "y": 4, "width": 8, "height": 12}),
    "DisplayOne": (24, {"r": 0, "r.width": 8, "enabled": 16, "flags": 20}),
    "RespDisplayInfo": (408, {"hdr": 0, "pmodes": 24}),
    "ResourceCreate2D": (40, {"resource_id": 24, "format": 28, "width": 32, "height": 36}),
    "ResourceUnref": (32, {"resource_id": 24, "padding": 28}),
    "SetScanout": (48, {"r": 24, "r.height": 36, "scanout_id": 40, "resource_id": 44}),
    "ResourceFlush": (48, {"r": 24, "resource_id": 40, "padding": 44}),
    "TransferToHost2D": (56, {"r": 24, "offset": 40, "resource_id": 48, "padding": 52}),
    "MemEntry": (16, {"addr": 0, "length": 8, "padding": 12}),
    "ResourceAttachBacking": (32, {"resource_id": 24, "nr_entries": 28}),
    "ResourceDetachBacking": (32, {"resource_id": 24, "padding": 28}),
    "GetCapsetInfo": (32, {"capset_index": 24, "padding": 28}),
    "RespCapsetInfo": (40, {"capset_id": 24, "capset_max_version": 28, "capset_max_size": 32, "padding": 36}),
    "GetEdid": (32, {"scanout": 24, "padding": 28}),
    "RespEdid": (1056, {"size": 24, "padding": 28, "edid": 32}),
    "ResourceAssignUuid": (32, {"resource_id": 24, "padding": 28}),
    "RespResourceUuid": (40, {"hdr": 0, "uuid": 24}),
    "ResourceCreateBlob": (
        56,
        {"resource_id": 24, "blob_mem": 28, "blob_flags": 32, "nr_entries": 36, "blob_id": 40, "size": 48},
    ),
    "SetScanoutBlob": (
        96,
        {
            "r": 24,
            "scanout_id": 40,
            "resource_id": 44,
            "width": 48,
            "height": 52,
            "format": 56,
            "padding": 60,
            "strides": 64,
            "offsets": 80,
        },
    ),
    "CursorPos": (16, {"scanout_id": 0, "x": 4, "y": 8, "padding": 12}),
    "UpdateCursor": (
        56,
        {"pos": 24, "pos.x": 28, "pos.y": 32, "resource_id": 40, "hot_x": 44, "hot_y": 48, "padding": 52},
    ),
}

GPU_C = """
struct Config { uint32 events_read; uint32 events_clear; uint32 num_scanouts; uint32 num_capsets; };
struct CtrlHdr { uint32 type; uint32 flags; uint64 fence_id; uint32 ctx_id; uint8 ring_idx; char padding[3]; };
struct Rect { uint32 x; uint32 y; uint32 width; uint32 height; };
struct DisplayOne { struct Rect r; uint32 enabled; uint32 flags; };
struct RespDisplayInfo { struct CtrlHdr hdr; struct DisplayOne pmodes[16]; };
struct ResourceCreate2D { struct CtrlHdr hdr; uint32 resource_id; uint32 format; uint32 width; uint32 height; };
struct ResourceUnref { struct CtrlHdr hdr; uint32 resource_id; uint32 padding; };
struct SetScanout { struct CtrlHdr hdr; struct Rect r; uint32 scanout_id; uint32 resource_id; };
struct ResourceFlush { struct CtrlHdr hdr; struct Rect r; uint32 resource_id; uint32 padding; };
struct TransferToHost2D { struct CtrlHdr hdr; struct Rect r; uint64 offset; uint32 resource_id; uint32 padding; };
struct MemEntry { uint64 addr; uint32 length; uint32 padding; };
struct ResourceAttachBacking { struct CtrlHdr hdr; uint32 resource_id; uint32 nr_entries; };
struct ResourceDetachBacking { struct CtrlHdr hdr; uint32 resource_id; uint32 padding; };
struct GetCapsetInfo { struct CtrlHdr hdr; uint32 capset_index; uint32 padding; };
struct RespCapsetInfo {
  struct CtrlHdr hdr; uint32 capset_id; uint32 capset_max_version; uint32 capset_max_size; uint32 padding;
};
struct GetEdid { struct CtrlHdr hdr; uint32 scanout; uint32 padding; };
struct RespEdid { struct CtrlHdr hdr; uint32 size; uint32 padding; char edid[1024]; };
struct ResourceAssignUuid { struct CtrlHdr hdr; uint32 resource_id; uint32 padding; };
struct RespResourceUuid { struct CtrlHdr hdr; char uuid[16]; };
struct ResourceCreateBlob {
    struct CtrlHdr hdr; uint32 resource_id; uint32 blob_mem; uint32 blob_flags; uint32 nr_entries;
    uint64 blob_id; uint64 size;
};
struct SetScanoutBlob {
    struct CtrlHdr hdr; struct Rect r; uint32 scanout_id; uint32 resource_id; uint32 width; uint32 height;
    uint32 format; uint32 padding; uint32 strides[4]; uint32 offsets[4];
};
struct CursorPos { uint32 scanout_id; uint32 x; uint32 y; uint32 padding; };
struct UpdateCursor {
    struct CtrlHdr hdr; struct CursorPos pos; uint32 resource_id; uint32 hot_x; uint32 hot_y; uint32 padding;
};
"""
