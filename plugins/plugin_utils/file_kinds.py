# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of files that a site may refuse, told by their first bytes or by what stands in them, never by their name.

Compiled to logical signatures of ClamAV (.ldb), so that clamd finds them at any depth of archives. In the name of a
signature, the word after `Sallyport.Kind.` is what the site refuses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

ENGINE = "Engine:81-255,Target:0"
NOT_XML = "0:3c3f786d6c"
"""`<?xml` at the beginning: only one interpreter of scripts takes that. A document's text is such a file."""
NOT_HTML = ("0:3c21444f4354595045::i", "0:3c68746d6c::i")
"""`<!DOCTYPE` or `<html` at the beginning: a page, which only shows what it says."""


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: as `executable.PE`; the word before the dot is what the site refuses.
        says: in plain words.
        patterns: subsignatures, as ClamAV writes them.
        when: which of them must match, by their numbers; empty for any one.
        pages: whether pages and XML are excepted.
    """

    name: str
    says: str
    patterns: tuple[str, ...]
    when: str = ""
    pages: bool = False

    def signature(self) -> str:
        """Return the signature, one line."""
        patterns = [*self.patterns]
        when = self.when or "|".join(map(str, range(len(patterns))))
        if self.pages:
            excepted = (NOT_XML, *NOT_HTML)
            last = len(patterns)
            when = f"({when})" + "".join(f"&({last + number}=0)" for number in range(len(excepted)))
            patterns += excepted
        return f"Sallyport.Kind.{self.name};{ENGINE};({when});{';'.join(patterns)}"


def text(words: str, where: str = "", flags: str = "i") -> str:
    """Return a subsignature for words.

    Args:
        words: the words.
        where: their offset; empty for anywhere.
        flags: i for either case, w for UTF-16 as well (with a for plain text too).
    """
    return f"{f'{where}:' if where else ''}{words.encode().hex()}{f'::{flags}' if flags else ''}"


def _first(*words: str) -> tuple[str, ...]:
    """Return subsignatures for words with which a text begins, after a mark of its encoding and a few blanks."""
    return tuple(text(word, "0,8", "iwa") for word in words)


def _some(count: int, of: int) -> str:
    """Say that so many different ones of some patterns must match."""
    return f"({'|'.join(map(str, range(of)))})>{count - 1},{count}"


_BYTES = "|".join(f"{number:02x}" for number in range(0x2D, 0x60))
_MACHINES = "(07|0c|12)"
_CRADLES = (
    "Invoke-Expression",
    "Net.WebClient",
    "Invoke-WebRequest",
    "-EncodedCommand",
    "FromBase64String(",
    "-ExecutionPolicy Bypass",
    "-WindowStyle Hidden",
    "[System.Reflection.Assembly]::Load",
    "DownloadString(",
    "Start-Process ",
)
_OBJECTS = ("WScript.Shell", "Scripting.FileSystemObject", "Shell.Application", "MSXML2.", "ADODB.Stream", "winmgmts:")

KINDS = (
    # MZ at the beginning and the header of PE somewhere: a file that merely begins with MZ is none
    Kind("executable.PE", "program or library of Windows", ("0:4d5a??", "50450000"), "0&1"),
    Kind("executable.ELF", "program or library of Linux", ("0:7f454c46(01|02)(01|02)01",)),
    Kind(
        "executable.Mach-O",
        "program or library of macOS",
        (
            f"0:cffaedfe{_MACHINES}000001",
            f"0:cefaedfe{_MACHINES}000000",
            f"0:feedfacf010000{_MACHINES}",
            f"0:feedface000000{_MACHINES}",
            "0:cafebabe000000(01|02|03|04|05|06|07|08)",
            "0:cafebabf000000(01|02|03|04|05|06|07|08)",
        ),
    ),
    Kind("executable.Java", "class of Java, by itself or in a JAR", (f"0:cafebabe????00({_BYTES})",)),
    Kind("executable.Dex", "code of Android, by itself or in an APK", ("0:6465780a30(33|34)??00",)),
    Kind("executable.Python", "compiled Python", ("0:??(0d|0e)0d0a(00|01|02|03)000000",)),
    Kind("executable.WebAssembly", "WebAssembly", ("0:0061736d01000000",)),
    Kind("executable.Shortcut", "shortcut of Windows (.lnk)", ("0:4c0000000114020000000000c000000000000046",)),
    Kind(
        "executable.Starter",
        "starter: .url of Windows, .desktop of Linux",
        (text("[InternetShortcut]", "0,4"), text("[Desktop Entry]", "0,256"), text("\nExec=")),
        "0|(1&2)",
    ),
    Kind(
        "executable.Installer",
        "installer: MSI, Debian, RPM, macOS package or image",
        (
            "0:d0cf11e0a1b11ae1",
            "(82|84|86)100c0000000000c000000000000046",
            text("!<arch>\ndebian-binary", "0", ""),
            "0:edabeedb(03|04)",
            "0:78617221001c0001",
            "EOF-512:6b6f6c7900000004",
        ),
        "(0&1)|2|3|4|5",
    ),
    Kind("executable.Help", "compiled help of Windows (.chm)", ("0:4954534603000000",)),
    Kind("script.Shebang", "text that begins with #!", ("0:2321(2f|20|09)", "0:efbbbf2321(2f|20|09)")),
    Kind("script.Batch", "batch file", _first("@echo off", "@echo on", "@setlocal", "@cmd ", "@start ", "@powershell")),
    Kind(
        "script.PowerShell",
        "PowerShell, by its first words or by three things that it does",
        (
            *_first(
                *("#requires -", "[CmdletBinding(", "param(", "param (", "$ErrorActionPreference", "Set-StrictMode "),
                *("Set-ExecutionPolicy ", "Import-Module ", "Invoke-Expression", "Write-Host ", "Start-Process "),
                *("Add-Type ", "New-Object ", "powershell -", "powershell.exe ", "iex (", "iex(", "iex $"),
            ),
        ),
        pages=True,
    ),
    Kind(
        "script.PowerShell",
        "",
        tuple(text(words, "", "iwa") for words in _CRADLES),
        _some(3, len(_CRADLES)),
        pages=True,
    ),
    Kind(
        "script.WSH",
        "VBScript or JScript that makes objects of Windows",
        (
            *(text(words, "", "iwa") for words in ("CreateObject(", "ActiveXObject(", "GetObject(")),
            *(text(words, "", "iwa") for words in _OBJECTS),
        ),
        f"(0|1|2)&({'|'.join(str(3 + number) for number in range(len(_OBJECTS)))})",
        pages=True,
    ),
    Kind(
        "script.WSH",
        "",
        tuple(text(words, "", "iwa") for words in ("WScript.Echo", "WScript.CreateObject")),
        pages=True,
    ),
    Kind("script.Encoded", "encoded VBScript or JScript", ("23407e5e{6}3d3d",)),
    Kind("script.HTA", "application of HTML (HTA)", (text("<hta:application"),)),
    Kind(
        "script.WSF",
        "file of Windows Script Host (WSF, SCT)",
        (text("<job"), text("</script>"), text("</job>"), text("<scriptlet"), text("<registration")),
        "(0&1&2)|(3&4)",
    ),
    Kind(
        "script.Registry",
        "changes of Windows' registry (.reg)",
        (text("REGEDIT4", "0,2", "iwa"), text("Windows Registry Editor Version", "0,4", "iwa")),
    ),
    Kind(
        "macro.VBA",
        "Office file with macros, also where clamd cannot read them",
        ("0:d0cf11e0a1b11ae1", "_VBA_PROJECT".encode("utf-16-le").hex()),
        "0&1",
    ),
    Kind(
        "macro.Sheet",
        "macros of Excel 4 in a newer file, and of LibreOffice",
        (text("<xm:macrosheet"), text("<!DOCTYPE script:module")),
    ),
    Kind("script.AppleScript", "compiled AppleScript", (text("FasdUAS ", "0", ""),)),
)
"""All kinds that are told by signatures; macros that it can read, and encryption, clamd tells itself."""


def signatures(refused: Iterable[str]) -> str:
    """Compile the signatures of the kinds that a site refuses.

    Args:
        refused: what the site refuses, as `executables` and `scripts`; others have no signatures.

    Returns:
        The content of an .ldb file; empty when nothing of that is refused.
    """
    wanted = {word.removesuffix("s") for word in refused}
    return "".join(f"{kind.signature()}\n" for kind in KINDS if kind.name.partition(".")[0] in wanted)
