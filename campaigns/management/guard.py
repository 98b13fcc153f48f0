"""Leaves no process behind, even when the supervisor is killed and can't clean up.

Run as a script, by path, so that it starts in milliseconds and needs nothing but the standard
library. It has two forms:

`guard.py watch` reads `+GROUP` and `-GROUP` lines from its standard input. At the end of input (the
supervisor is gone, however it went) it kills the process groups that are still listed.

`guard.py run DESCRIPTOR COMMAND...` becomes the command. Before that it lists itself with the
watcher, so there is no moment in which a started process is unknown, and on Linux asks the kernel to
end it with its parent, in case the watcher is gone as well.

Both are to be started as leaders of sessions of their own: Ctrl-C is for the supervisor alone.
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterable

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the thread that started it ends (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def watch(lines: Iterable[str]) -> None:
    """Keep the list that `lines` dictate; when they end, kill the groups that are left."""
    groups: set[int] = set()
    for line in lines:
        change, group = line[0], int(line[1:])
        if change == "+":
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def run(descriptor: int, command: list[str]) -> None:
    """List this process with the watcher behind `descriptor`, then become `command`."""
    die_with_parent()
    os.write(descriptor, f"+{os.getpid()}\n".encode())  # short enough to be atomic on a pipe
    os.close(descriptor)
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    if sys.argv[1] == "watch":
        watch(sys.stdin)
    else:
        run(int(sys.argv[2]), sys.argv[3:])
