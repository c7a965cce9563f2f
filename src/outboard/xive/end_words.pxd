# inline: cimported, never compiled
# The compiled form of end_words.py: where it is called, so that no view of a table is passed on.
cimport outboard.guest.words as words
from outboard.xive.router cimport End

cdef inline void read_end(End end, const unsigned char[::1] cells, Py_ssize_t offset) noexcept:
    end.w0 = words.load_be32(cells, offset)
    end.w1 = words.load_be32(cells, offset + 4)
    end.w2 = words.load_be32(cells, offset + 8)
    end.w3 = words.load_be32(cells, offset + 12)
    end.w4 = words.load_be32(cells, offset + 16)
    end.w5 = words.load_be32(cells, offset + 20)
    end.w6 = words.load_be32(cells, offset + 24)
    end.w7 = words.load_be32(cells, offset + 28)
