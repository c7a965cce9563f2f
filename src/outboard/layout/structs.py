"""Structures declared once; size, packing, unpacking and tables derive from the class body.

    class Rect(Layout):
        \"\"\"struct virtio_gpu_rect.\"\"\"
        x: u32 = 0
        y: u32 = 0
        width: u32 = 0
        height: u32 = says("0 is an empty rectangle", default=0)

Modelled: packed structures of integers, byte strings, nested structures and arrays of them, in little-endian ("<", the
default) or host ("=") byte order. Not modelled: bit fields, unions, trailing arrays (their owner unpacks them).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar, NamedTuple, Self, dataclass_transform, get_type_hints

from outboard.errors import ProtocolError


class Scalar(NamedTuple):
    """One integer; `code` is its letter in the `struct` module."""

    code: str


class Bytes(NamedTuple):
    """A byte string of fixed length."""

    length: int


class Array(NamedTuple):
    """`length` items of one type: a Scalar or a Layout class."""

    item: Any
    length: int


u8 = Annotated[int, Scalar("B")]
u16 = Annotated[int, Scalar("H")]
u32 = Annotated[int, Scalar("I")]
u64 = Annotated[int, Scalar("Q")]
i32 = Annotated[int, Scalar("i")]


def says(text: str, *, default: int) -> Any:
    """Give an integer field a default and a remark that the manual's table shows."""
    return field(default=default, metadata={"says": text})


class Row(NamedTuple):
    """One field as the tables of the manual show it; offset and size in bytes."""

    offset: int
    size: int
    name: str
    says: str


def _kind(hint: Any) -> Any:
    """Return the Scalar, Bytes, Array or Layout class behind one annotation."""
    return hint.__metadata__[0] if hasattr(hint, "__metadata__") else hint


def _codes(kind: Any) -> str:
    if isinstance(kind, Scalar):
        return kind.code
    if isinstance(kind, Bytes):
        return f"{kind.length}s"
    if isinstance(kind, Array):
        return _codes(_kind(kind.item)) * kind.length
    codes: str = kind.codes
    return codes


def _take(kind: Any, values: Iterator[Any]) -> Any:
    if isinstance(kind, Scalar | Bytes):
        return next(values)
    if isinstance(kind, Array):
        item = _kind(kind.item)
        return tuple(_take(item, values) for _ in range(kind.length))
    return kind._build(values)


def _flat(kind: Any, value: Any) -> Iterator[Any]:
    if isinstance(kind, Bytes) and len(value) > kind.length:
        raise struct.error(f"{len(value)} bytes in a field of {kind.length}")  # `struct` itself would cut them
    if isinstance(kind, Scalar | Bytes):
        yield value
    elif isinstance(kind, Array):
        item = _kind(kind.item)
        for one in value:
            yield from _flat(item, one)
    else:
        yield from value._values()


@dataclass_transform(frozen_default=True, field_specifiers=(says, field))
class Layout:
    """Base of every declared structure. Instances are immutable values, compared and hashed by their fields."""

    sizeof: ClassVar[int]
    byte_order: ClassVar[str]
    codes: ClassVar[str]
    _kinds: ClassVar[dict[str, Any]]
    _struct: ClassVar[struct.Struct]

    def __init_subclass__(cls, byte_order: str = "<") -> None:
        dataclass(frozen=True)(cls)
        hints = get_type_hints(cls, include_extras=True)
        cls._kinds = {f.name: _kind(hints[f.name]) for f in fields(cls)}  # type: ignore[arg-type]
        cls.codes = "".join(_codes(kind) for kind in cls._kinds.values())
        cls.byte_order = byte_order
        cls._struct = struct.Struct(byte_order + cls.codes)
        cls.sizeof = cls._struct.size

    @classmethod
    def _build(cls, values: Iterator[Any]) -> Self:
        return cls(*(_take(kind, values) for kind in cls._kinds.values()))

    def _values(self) -> Iterator[Any]:
        for name, kind in self._kinds.items():
            yield from _flat(kind, getattr(self, name))

    @classmethod
    def unpack(cls, data: bytes | bytearray | memoryview) -> Self:
        """Read one structure from exactly `sizeof` bytes. Raises ProtocolError when there are fewer or more."""
        if len(data) != cls.sizeof:
            raise ProtocolError(cls.__name__, f"{cls.sizeof} bytes", f"{len(data)}")
        return cls._build(iter(cls._struct.unpack(data)))

    @classmethod
    def unpack_from(cls, data: bytes | bytearray | memoryview, offset: int = 0) -> Self:
        """Read one structure at `offset`; more bytes may follow. Raises ProtocolError when there are too few."""
        if offset < 0 or len(data) - offset < cls.sizeof:
            raise ProtocolError(cls.__name__, f"{cls.sizeof} bytes at offset {offset}", f"{len(data)} in all")
        return cls._build(iter(cls._struct.unpack_from(data, offset)))

    def pack(self) -> bytes:
        """Return the structure's `sizeof` bytes. Raises struct.error when a value does not fit its field."""
        return self._struct.pack(*self._values())

    @classmethod
    def offsetof(cls, path: str) -> int:
        """Return the byte offset of a field; `"r.width"` reaches into a nested structure. Raises KeyError."""
        name, _, rest = path.partition(".")
        start = 0
        for row in cls.rows():
            if row.name == name:
                start = row.offset
                break
        else:
            raise KeyError(f"{cls.__name__} has no field {name!r}")
        return start + (cls._kinds[name].offsetof(rest) if rest else 0)

    @classmethod
    def rows(cls) -> Iterator[Row]:
        """Yield offset, size, name and remark of every field, in order."""
        at = 0
        for f in fields(cls):  # type: ignore[arg-type]
            size = struct.calcsize("=" + _codes(cls._kinds[f.name]))
            yield Row(at, size, f.name, f.metadata.get("says", ""))
            at += size
