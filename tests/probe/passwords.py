# SPDX-License-Identifier: GPL-3.0-or-later
"""Signs in at the host itself with passwords, as its own programs do: through PAM. Runs as root.

Passwords come here on standard input and are handed to the library in memory, never in an argument.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# pam_appl.h
PROMPT_ECHO_OFF = 1
SUCCESS = 0


class _Message(ctypes.Structure):
    _fields_ = (("style", ctypes.c_int), ("text", ctypes.c_char_p))


class _Response(ctypes.Structure):
    _fields_ = (("text", ctypes.c_void_p), ("code", ctypes.c_int))


_Converse = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.POINTER(_Message)),
    ctypes.POINTER(ctypes.POINTER(_Response)),
    ctypes.c_void_p,
)


class _Conversation(ctypes.Structure):
    _fields_ = (("converse", _Converse), ("data", ctypes.c_void_p))


def _authenticate(user: str, password: str, service: str) -> int:
    """Return what pam_authenticate(3) says."""
    library = ctypes.CDLL(ctypes.util.find_library("pam") or "libpam.so.0")
    own = ctypes.CDLL(None)
    own.calloc.restype = ctypes.c_void_p
    own.strdup.restype = ctypes.c_void_p
    own.strdup.argtypes = (ctypes.c_char_p,)

    def converse(count: int, messages: Any, responses: Any, _: Any) -> int:
        # the library frees both
        made = own.calloc(count, ctypes.sizeof(_Response))
        array = ctypes.cast(made, ctypes.POINTER(_Response))
        for number in range(count):
            if messages[number].contents.style == PROMPT_ECHO_OFF:
                array[number].text = own.strdup(password.encode())
        responses[0] = array
        return SUCCESS

    conversation = _Conversation(_Converse(converse), None)
    handle = ctypes.c_void_p()
    started = library.pam_start(service.encode(), user.encode(), ctypes.byref(conversation), ctypes.byref(handle))
    if started != SUCCESS:
        raise OSError(f"pam_start: {started}")
    code = int(library.pam_authenticate(handle, 0))
    library.pam_end(handle, code)
    return code


def sign_in_here(user: str, passwords: Sequence[str], service: str = "login") -> list[bool]:
    """Try passwords, all at the same time, since each wrong one is answered late.

    Args:
        user: Account of this host.
        passwords: What to try.
        service: File of /etc/pam.d that says how.

    Returns:
        For each, whether it was taken.
    """
    with ThreadPoolExecutor(max(1, len(passwords))) as pool:
        codes = pool.map(lambda password: _authenticate(user, password, service), passwords)
        return [code == SUCCESS for code in codes]
