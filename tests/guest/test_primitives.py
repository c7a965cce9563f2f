"""The primitives that touch guest memory, in their plain form; the compiled one is tested through its users."""

from array import array

from outboard.guest import atomics, copies


def test_copy_moves_bytes_and_no_others():
    dst, src = bytearray(b"." * 10), b"0123456789"
    copies.copy(memoryview(dst), 2, memoryview(src), 5, 3)
    assert dst == b"..567....."


def test_copy_rows_moves_a_rectangle_and_nothing_beside_it():
    dst, src = bytearray(b"." * 20), bytes(range(65, 85))
    copies.copy_rows(memoryview(dst), 1, 6, memoryview(src), 2, 5, 3, 3)
    assert dst == b".CDE...HIJ...MNO...."


def test_indexes_are_loaded_and_stored_as_whole_words():
    cells = memoryview(array("H", [1, 2, 3]))
    atomics.store_release(cells, 1, 0xABCD)
    atomics.fence()
    assert atomics.load_acquire(cells, 1) == 0xABCD
    assert cells.tolist() == [1, 0xABCD, 3]
