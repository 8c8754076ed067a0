"""Becomes another program, under the rules the dev stack has for its children.

    python -I -S launch.py PARENT_PID DEATH_SIGNAL UID GID PROGRAM [ARGUMENT ...]

The process drops to UID and GID (-1 stays who it is), asks the kernel for DEATH_SIGNAL when its parent dies, closes
its files to others (umask 077), and executes PROGRAM under the same process id. The order matters: Linux forgets the
wish for a death signal when the user changes, and Python itself may be out of the new user's reach.

A program of its own instead of `preexec_fn`, which runs Python between fork and exec and can dead-lock a process that
has threads; by then the stack has many. Costs some 15 ms. Standard library only; only Linux has the death signal, on
other systems the next start finds what was left behind.
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    parent, death_signal, uid, gid = (int(argument) for argument in arguments[:4])
    libc = ctypes.CDLL(None)
    os.umask(0o077)
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        return 1  # it died before the kernel heard our wish
    program = arguments[4]
    try:
        os.execv(program, arguments[4:])
    except OSError as reason:
        print(f"cannot run {program}: {reason.strerror}", file=sys.stderr)
    return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
