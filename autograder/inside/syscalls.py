"""A filter of system calls: what student code has no use for, and what would get around the limits.

New namespaces would bring file systems without a size; memory files and shared segments are memory that nobody counts.
Source: seccomp(2), and the kernel's tables of system calls.
"""

from __future__ import annotations

import ctypes
import platform
import struct

__all__ = ["refuse_calls"]

# Machine: (audit number, clone, clone3, then what is refused: unshare, setns, mount, fsopen, move_mount, memfd_create, memfd_secret,
# shmget, add_key, request_key, keyctl, ptrace, process_vm_readv, process_vm_writev, bpf, userfaultfd, perf_event_open)
TABLES = {
    "x86_64": (0xC000003E, 56, 435, (272, 308, 165, 430, 429, 319, 447, 29, 248, 249, 250, 101, 310, 311, 321, 323, 298)),
    "aarch64": (0xC00000B7, 220, 435, (97, 268, 40, 430, 429, 279, 447, 194, 217, 218, 219, 117, 270, 271, 280, 282, 241)),
}
NEW_NAMESPACES = 0x7E020000
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, NOT_PERMITTED, NOT_THERE = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38
SET_SECCOMP, FILTER, SET_NO_NEW_PRIVS = 22, 2, 38


def refuse_calls() -> None:
    """Refuse these calls from now on, to this process and all that it starts; on other machines nothing happens."""
    if platform.machine() not in TABLES or not hasattr(ctypes.CDLL(None), "prctl"):
        return
    audit, clone, clone3, refused = TABLES[platform.machine()]
    # Jumps count instructions from the next one; the three last are: allowed, refused, not there (so that clone is used instead).
    tests = [(EQUAL, clone3, "there"), (AT_LEAST, 0x40000000, "refuse"), *((EQUAL, number, "refuse") for number in refused)]
    end = 3 + len(tests) + 3  # where "allow" stands
    places = {"allow": end, "refuse": end + 1, "there": end + 2}
    program = [(LOAD, 0, 0, 4), (EQUAL, 0, places["refuse"] - 2, audit), (LOAD, 0, 0, 0)]
    for code, value, target in tests:
        program.append((code, places[target] - len(program) - 1, 0, value))
    program += [(EQUAL, 0, 2, clone), (LOAD, 0, 0, 16), (ANY_BIT, 1, 0, NEW_NAMESPACES)]
    program += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, NOT_PERMITTED), (RETURN, 0, 0, NOT_THERE)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    header = struct.pack("@HxxxxxxP" if ctypes.sizeof(ctypes.c_void_p) == 8 else "@HxxP", len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(SET_SECCOMP, FILTER, ctypes.c_char_p(header), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the kernel takes no filter of system calls")
