"""The prompt of `outboard xive shell`, and its commands from files and pipes."""

import cmd
import sys
from collections.abc import Iterable
from pathlib import Path

from outboard.cli.xive.completion import complete
from outboard.cli.xive.session import Quit, Session
from outboard.cli.xive.verbs import perform
from outboard.errors import LocalError

PROMPT = "xive> "
REFUSED = 1
"""Exit code when a command of a script or a pipe was refused."""


class Prompt(cmd.Cmd):
    """The terminal's side: reads lines, completes words, prints."""

    prompt = PROMPT

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._found: list[str] = []

    def preloop(self) -> None:
        """Let only blanks and `=` part words, so that numbers and names are whole."""
        try:
            import readline
        except ImportError:
            return
        readline.set_completer_delims(" \t\n=")
        if "libedit" in (readline.__doc__ or ""):
            readline.parse_and_bind("bind ^I rl_complete")

    def onecmd(self, line: str) -> bool:
        """Perform one command; true to end."""
        if line == "EOF":  # what `cmd` makes of Ctrl-D
            print()
            return True
        try:
            _print(perform(self._session, line))
        except LocalError as error:
            _print([str(error)])
        except Quit:
            return True
        except KeyboardInterrupt:
            _print(["", "interrupted, nothing changed"])
        return False

    def complete(self, text: str, state: int) -> str | None:  # type: ignore[override]
        """Return the word number `state` that may take the place of `text`."""
        import readline

        if state == 0:
            found = complete(self._session, readline.get_line_buffer()[: readline.get_endidx()])
            self._found = [word.rpartition("=")[2] if "=" in word[:-1] else word for word in found]
        if state >= len(self._found):
            return None
        word = self._found[state]
        return word if word.endswith("=") else word + " "


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)
    if sys.stdout is not None:
        sys.stdout.flush()


def interact(session: Session) -> int:
    """Talk to a person until they leave; return the exit code."""
    xive = session.xive
    cpus = "1 CPU" if len(xive.order) == 1 else f"{len(xive.order)} CPUs"
    _print(
        [
            f"XIVE of a pseries machine with {cpus}, as {xive.flavour.name} has it.",
            "`help` lists commands, Tab completes them, `setup` does what Linux does at its start.",
        ]
    )
    prompt = Prompt(session)
    while True:
        try:
            prompt.cmdloop()
            return 0
        except KeyboardInterrupt:  # at the prompt: a new line
            print()


def run_script(session: Session, file: str) -> int:
    """Perform the commands of a file; return the exit code."""
    try:
        text = Path(file).read_text(errors="backslashreplace")
    except OSError as error:
        raise LocalError(f"--script {file}: cannot be read: {error.strerror}") from None
    return _run(session, text.split("\n"))


def run_pipe(session: Session) -> int:
    """Perform the commands that come on standard input; return the exit code."""
    if sys.stdin is None:
        raise LocalError("there is no standard input; give the commands with --script FILE")
    return _run(session, sys.stdin)


def _run(session: Session, lines: Iterable[str]) -> int:
    code = 0
    for number, line in enumerate(lines, 1):
        if not line.partition("#")[0].strip():
            continue
        _print([f"{PROMPT}{line.rstrip()}"])
        try:
            _print(perform(session, line))
        except LocalError as error:
            print(f"outboard: line {number}: {error}", file=sys.stderr, flush=True)
            code = REFUSED
        except Quit:
            break
    return code
