"""Files that an option names, looked at before the work begins."""

from pathlib import Path

from outboard.errors import LocalError


def checked(option: str, file: str) -> Path:
    """Return the path that an option names. Raises LocalError when no file can be written there."""
    path = Path(file)
    if not path.parent.is_dir():
        raise LocalError(f"{option} {file}: folder {path.parent} does not exist")
    if path.is_dir():
        raise LocalError(f"{option} {file}: is a folder; name a file")
    return path


def replaceable(option: str, file: str) -> Path:
    """As `checked`, for a file that is written beside and then put in the place of the old one."""
    path = checked(option, file)
    if path.exists() and not path.is_file():
        raise LocalError(f"{option} {file}: is no regular file, and would be replaced by one; name a file")
    return path
