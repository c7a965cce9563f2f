"""Pictures of guest memory, page by page, cheap enough to take one after every step."""

from outboard.guest.memory import PAGE_SIZE, Region

Pages = dict[int, bytes]
"""Page number within the region: its bytes; pages that are not there are all zero."""

ZERO = bytes(PAGE_SIZE)


class PageLog:
    """The pages of a region that `GuestMemory` has written. Pictures share the pages that did not change.

    region: all zero so far; what is written to it by other ways is not seen.
    """

    def __init__(self, region: Region) -> None:
        self._bytes = region.buffer
        self._written = region.track()
        self._pages: Pages = {}

    def picture(self) -> Pages:
        """Return all pages that are not zero."""
        if changed := self._changed():
            self._pages = dict(self._pages)
            for page in changed:
                data = bytes(self._bytes[page * PAGE_SIZE : (page + 1) * PAGE_SIZE])
                if data == ZERO[: len(data)]:
                    self._pages.pop(page, None)
                elif data != self._pages.get(page):
                    self._pages[page] = data
        return self._pages

    def _changed(self) -> list[int]:
        flags = bytes(self._written)
        changed = []
        at = flags.find(1)
        while at >= 0:
            changed.append(at)
            self._written[at] = 0
            at = flags.find(1, at + 1)
        return changed

    def restore(self, pages: Pages) -> None:
        """Bring the region back to what it was at a picture."""
        now = self.picture()
        for page in now.keys() | pages.keys():
            if now.get(page) is not pages.get(page):
                start = page * PAGE_SIZE
                end = min(start + PAGE_SIZE, len(self._bytes))
                self._bytes[start:end] = pages.get(page, ZERO)[: end - start]
        self._pages = pages
