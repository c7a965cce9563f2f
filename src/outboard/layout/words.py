"""Words of bit fields declared once, by the bit numbers that their document uses; masks and shifts derive from them.

    class EAS(Words, width=64):
        \"\"\"Event Assignment Structure.\"\"\"
        valid = ppc(0)
        end_index = ppc(8, 31)

`EAS.end_index` is the field itself (mask, shift, get, put); `EAS(word).end_index` is its value in one structure.
`ppc` counts bits from the most significant, as IBM's documents do; `lsb0` from the least.

Modelled: structures of equal words, 8 to 64 bits wide, in memory big-endian. Fields that share bits must name
different forms of the structure. Not modelled: fields that cross words.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, Self, overload


class Bits:
    """One field: `mask` and `shift` within word number `word`."""

    def __init__(self, first: int, last: int, word: int, form: str, says: str, *, ppc: bool) -> None:
        self.first = first
        self.last = last
        self.word = word
        self.form = form
        self.says = says
        self._ppc = ppc
        self.name = ""
        self.shift = self.mask = 0

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def place(self, width: int, count: int) -> None:
        """Derive mask and shift for words of `width` bits. Raises TypeError when the field does not fit."""
        low, high = (width - 1 - self.last, width - 1 - self.first) if self._ppc else (self.last, self.first)
        if not (0 <= low <= high < width and 0 <= self.word < count):
            raise TypeError(f"field {self.name}: bits {self.first} to {self.last} of word {self.word} do not exist")
        self.shift = low
        self.mask = ((1 << (high - low + 1)) - 1) << low

    def get(self, word: int) -> int:
        """Return the field's value in `word`."""
        return (word & self.mask) >> self.shift

    def put(self, word: int, value: int) -> int:
        """Return `word` with the field set to `value`, cut to the field's width."""
        return (word & ~self.mask) | ((value << self.shift) & self.mask)

    @overload
    def __get__(self, instance: None, owner: type) -> "Bits": ...
    @overload
    def __get__(self, instance: "Words", owner: type) -> int: ...
    def __get__(self, instance: "Words | None", owner: type) -> "Bits | int":
        return self if instance is None else self.get(instance.words[self.word])

    def __set__(self, instance: "Words", value: int) -> None:
        raise AttributeError(f"{type(instance).__name__} is a value; replace({self.name}=…) makes another")


def ppc(first: int, last: int | None = None, *, word: int = 0, form: str = "", says: str = "") -> Bits:
    """Declare bits `first` to `last`, counted from the most significant of word `word`."""
    return Bits(first, first if last is None else last, word, form, says, ppc=True)


def lsb0(high: int, low: int | None = None, *, word: int = 0, form: str = "", says: str = "") -> Bits:
    """Declare bits `high` down to `low`, counted from the least significant of word `word`."""
    return Bits(high, high if low is None else low, word, form, says, ppc=False)


_WIDTHS = {8, 16, 32, 64}


class Words:
    """Base of every declared structure of words. Instances are immutable values."""

    width: ClassVar[int]
    count: ClassVar[int]
    sizeof: ClassVar[int]
    fields: ClassVar[dict[str, Bits]]

    def __init_subclass__(cls, width: int = 32, count: int = 1) -> None:
        fields = {name: item for name, item in vars(cls).items() if isinstance(item, Bits)}
        if width not in _WIDTHS:
            raise TypeError(f"{cls.__name__}: words of {width} bits")
        if hidden := _OWN_NAMES & fields.keys():
            raise TypeError(f"{cls.__name__}.{hidden.pop()} hides what every structure has")
        cls.width, cls.count, cls.sizeof, cls.fields = width, count, width * count // 8, fields
        taken: dict[tuple[int, str], int] = {}
        for field in cls.fields.values():
            field.place(width, count)
            for (word, form), mask in taken.items():
                same = form == field.form or not form or not field.form
                if word == field.word and same and mask & field.mask:
                    raise TypeError(f"{cls.__name__}.{field.name} shares bits with another field")
            taken[field.word, field.form] = taken.get((field.word, field.form), 0) | field.mask

    def __init__(self, *words: int) -> None:
        """Take the words as numbers; those left out are 0. Raises ValueError for one too many, or too wide."""
        if len(words) > self.count or any(not 0 <= word < 1 << self.width for word in words):
            raise ValueError(f"{type(self).__name__} is {self.count} words of {self.width} bits, got {words}")
        self.words = words + (0,) * (self.count - len(words))

    @classmethod
    def make(cls, **values: int) -> Self:
        """Return a structure with these fields set and all else 0. Raises TypeError for names it does not have."""
        return cls().replace(**values)

    def replace(self, **values: int) -> Self:
        """Return a copy with these fields changed, each cut to its width."""
        words = list(self.words)
        for name, value in values.items():
            if name not in self.fields:
                raise TypeError(f"{type(self).__name__} has no field {name!r}; it has {', '.join(self.fields)}")
            field = self.fields[name]
            words[field.word] = field.put(words[field.word], value)
        return type(self)(*words)

    @classmethod
    def unpack_from(cls, data: bytes | bytearray | memoryview, offset: int = 0) -> Self:
        """Read one structure, big-endian, at `offset` of `data`. Raises ValueError when it does not fit there."""
        step = cls.width // 8
        if not 0 <= offset <= len(data) - cls.sizeof:
            raise ValueError(f"{cls.__name__} is {cls.sizeof} bytes, {offset} of {len(data)} is no place for it")
        starts = range(offset, offset + cls.sizeof, step)
        return cls(*(int.from_bytes(data[at : at + step], "big") for at in starts))

    def pack(self) -> bytes:
        """Return the structure's bytes, big-endian."""
        return b"".join(word.to_bytes(self.width // 8, "big") for word in self.words)

    def _asdict(self) -> dict[str, int]:
        return {name: field.get(self.words[field.word]) for name, field in self.fields.items()}

    def __eq__(self, other: Any) -> bool:
        return type(self) is type(other) and self.words == other.words

    def __hash__(self) -> int:
        return hash((type(self), self.words))

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={value:#x}" for name, value in self._asdict().items() if value)
        return f"{type(self).__name__}({told})"

    @classmethod
    def rows(cls) -> Iterator[Bits]:
        """Yield the fields in the order in which they are declared, as the manual's table shows them."""
        yield from cls.fields.values()


_OWN_NAMES = {"words", "width", "count", "sizeof", "fields", *vars(Words)}
