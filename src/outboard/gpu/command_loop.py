"""Execute the commands of one virtqueue: pop, check, do, answer.

Source: VIRTIO-1.2 5.7.6.7 (control header, fences) and 2.7.

A guest's mistake is an error response; every chain that was popped comes back on the used ring. Fences: 2D work is done
when its command returns, so a fenced command is answered at once like any other.
"""

from collections.abc import Callable, Mapping

import outboard.guest.copies as copies
from outboard import trace
from outboard.gpu import cursor, queries, resources, scanouts
from outboard.gpu.command import WAIT, Command
from outboard.gpu.state import Gpu
from outboard.spec.virtio_gpu import COMMANDS, CURSOR_COMMANDS, Cmd, CommandRow, CtrlHdr, HdrFlag, Resp, RespEdid
from outboard.virtio.split_queue import NONE, SplitQueue

IDLE = 0
"""`run`: the ring is empty; `queue.arm` before waiting for a kick."""
BUSY = 1
"""`run`: the budget is spent and there may be more."""
CONGESTED = 2
"""`run`: the display must take what was shown before more commands may run."""
WAITING = 3
"""`run`: a command waits for `answer`."""
BROKEN = 4
"""`run`: the ring is broken; `queue.broken` says why."""

WORK_MAX = 32 << 20
"""Bytes touched in one `run`, about: some milliseconds, for which no socket is served."""

HEADER_SIZE = CtrlHdr.sizeof
FENCE = int(HdrFlag.FENCE)
FLUSH = int(Cmd.RESOURCE_FLUSH)
FIRST_ERROR = int(Resp.ERR_UNSPEC)
UNSPEC = int(Resp.ERR_UNSPEC)
INVALID_PARAMETER = int(Resp.ERR_INVALID_PARAMETER)

VERBS: dict[Cmd, Callable[[Gpu, Command], int]] = {
    Cmd.GET_DISPLAY_INFO: queries.get_display_info,
    Cmd.RESOURCE_CREATE_2D: resources.resource_create_2d,
    Cmd.RESOURCE_UNREF: resources.resource_unref,
    Cmd.SET_SCANOUT: scanouts.set_scanout,
    Cmd.RESOURCE_FLUSH: scanouts.resource_flush,
    Cmd.TRANSFER_TO_HOST_2D: resources.transfer_to_host_2d,
    Cmd.RESOURCE_ATTACH_BACKING: resources.resource_attach_backing,
    Cmd.RESOURCE_DETACH_BACKING: resources.resource_detach_backing,
    Cmd.GET_EDID: queries.get_edid,
    Cmd.RESOURCE_ASSIGN_UUID: resources.resource_assign_uuid,
    Cmd.RESOURCE_CREATE_BLOB: resources.resource_create_blob,
    Cmd.SET_SCANOUT_BLOB: scanouts.set_scanout_blob,
    Cmd.UPDATE_CURSOR: cursor.update_cursor,
    Cmd.MOVE_CURSOR: cursor.move_cursor,
}


class Verb:
    """What to do for one command code: bytes the request must have, features it needs, the function."""

    def __init__(self, row: CommandRow) -> None:
        self.size = row.request.sizeof
        self.features = int(row.feature or 0)
        self.function = VERBS[row.cmd]


class CommandLoop:
    """The commands of one queue. `head` is the chain in execution while the loop waits."""

    def __init__(
        self,
        gpu: Gpu,
        queue: SplitQueue,
        rows: Mapping[Cmd, CommandRow],
        when_dry: Callable[[Gpu], None] | None = None,
    ) -> None:
        self.gpu = gpu
        self.queue = queue
        self.verbs = {int(code): Verb(row) for code, row in rows.items()}
        self.when_dry = when_dry
        self.command = Command(queue)
        self.waiting = False
        self.head = 0
        self.executed = 0
        response = memoryview(bytearray(RespEdid.sizeof))
        self.response = response
        self.response_words = response.cast("I")

    def run(self, budget: int) -> int:
        """Execute up to `budget` commands, fewer when they are heavy; return why it stopped.

        Used elements are added, not published. A transfer may be left pending: `gpu.catch_up` before publishing.
        """
        self.gpu.work = 0
        while budget > 0 and self.gpu.work < WORK_MAX:
            if self.waiting:
                return WAITING
            if self.gpu.output.congested:
                return CONGESTED
            head = self.queue.pop()
            if head >= 0:
                budget -= 1
                self.head = head
                self._execute()
            elif head != NONE:
                return BROKEN
            elif self.gpu.stale and self.when_dry is not None:
                self.when_dry(self.gpu)
            else:
                return IDLE
        return BUSY

    def _execute(self) -> None:
        command = self.command
        size = command.fetch()
        self.executed += 1
        if size < HEADER_SIZE:
            command.words[0] = command.words[1] = 0
            code = INVALID_PARAMETER
        else:
            verb = self.verbs.get(command.words[0])
            if verb is None or verb.features & ~self.gpu.features:
                code = UNSPEC
            elif size < verb.size:
                code = INVALID_PARAMETER
            else:
                if command.words[0] != FLUSH:
                    self.gpu.catch_up()
                code = verb.function(self.gpu, command)
        if code == WAIT:
            self.waiting = True
        else:
            self._respond(code)

    def _respond(self, code: int) -> None:
        """Write the response header, and the reply behind it, and add the chain to the used ring."""
        words = self.command.words
        response = self.response_words
        fenced = words[1] & FENCE
        response[0] = code
        response[1] = fenced
        response[2] = words[2] if fenced else 0
        response[3] = words[3] if fenced else 0
        response[4] = words[4] if fenced else 0
        response[5] = 0
        length = HEADER_SIZE
        reply = self.command.reply
        if reply:
            copies.copy(self.response, HEADER_SIZE, reply, 0, len(reply))  # type: ignore[arg-type]
            length += len(reply)
        self.queue.add_used(self.head, self.queue.write(self.response, length))
        if code >= FIRST_ERROR:
            trace.emit("gpu.refused", command=words[0], response=code)

    def answer(self, body: bytes) -> None:
        """Complete the command that waits; `body` follows its response header. Does nothing when none waits."""
        if self.waiting:
            self.waiting = False
            code = Resp.OK_EDID if self.command.words[0] == Cmd.GET_EDID else Resp.OK_DISPLAY_INFO
            self._respond(queries.answered(self.command, code, body))

    def suspend(self) -> None:
        """Give a waiting command back to the ring, to be executed anew when the queue starts again."""
        if self.waiting:
            self.waiting = False
            self.queue.rewind()


def control_loop(gpu: Gpu, queue: SplitQueue) -> CommandLoop:
    """Return the loop of the control queue."""
    return CommandLoop(gpu, queue, COMMANDS, scanouts.show_stale)


def cursor_loop(gpu: Gpu, queue: SplitQueue) -> CommandLoop:
    """Return the loop of the cursor queue."""
    return CommandLoop(gpu, queue, CURSOR_COMMANDS)
