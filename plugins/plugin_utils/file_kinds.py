# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of files that a site may refuse, told by their first bytes or by what stands in them, never by their name.

And those that are refused whatever the site says, since the scanner calls clean what it cannot unpack.

Compiled to logical signatures of ClamAV (.ldb), so that clamd finds them at any depth of archives. In the name of a
signature, the word after `Sallyport.Kind.` is what the site refuses, or `unreadable`.
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


def _lzma_alone() -> tuple[str, ...]:
    """Return subsignatures for the old format of LZMA, which has no magic: three parameters, a dictionary, a size."""
    # what its programs take: lc + lp at most 4, and a dictionary of a power of two, or of one and a half of it
    some = (f"{(pb * 5 + lp) * 9 + lc:02x}" for pb in range(5) for lp in range(5) for lc in range(5) if lc + lp < 5)
    parameters = f"0:({'|'.join(some)})"
    one = "(" + "|".join(f"{size:02x}" for size in sorted({1, *(f << s for f in (2, 3) for s in range(7))})) + ")"
    return (
        *(f"{parameters}{form}" for form in (f"0000{one}00", f"000000{one}", f"00{one}0000", f"{one}000000")),
        *(f"{parameters}{form}" for form in ("00008001", "00000080", "00800100", "80010000", "ffffffff")),
        # no size, or one below 4 GiB; and the first byte of what is packed is always zero
        "5:ffffffffffffffff00",
        "9:0000000000",
        # many files that are none begin with numbers, and so with zeros: then only what says no size counts
        "0:0000",
    )


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

_XZ = "fd377a585a00{6}??"
"""An xz stream up to the flags of its first block: so many filters, and whether sizes follow."""
_LEVELS = "(31|32|33|34|35|36|37|38|39)"

UNREADABLE = (
    # 7z anywhere, as the scanner and 7-Zip look for it: even of LZMA, what is too much for its reader counts as clean
    Kind("unreadable.7z", "7z archive", ("377abcaf271c00",)),
    # Debian's ClamAV is without the reader
    Kind("unreadable.RAR", "RAR archive", ("526172211a07(00|01)", "0:52457e5e")),
    Kind(
        "unreadable.Zip",
        "zip archive by a method that the scanner does not know, or that hides the size of what it holds",
        (
            # stored, deflated, deflated64, bzip2; 99 is encrypted, which the site decides
            "504b0304????????!(00|08|09|0c|63)00",
            "504b0102????????????!(00|08|09|0c|63)00",
            # no size, and no mark (bit 3) that it comes later
            *(f"504b0304?????{nibble}??0800{{8}}00000000" for nibble in range(8)),
        ),
    ),
    Kind(
        "unreadable.Bzip2",
        "bzip2 file of several streams, of which the scanner reads the first",
        ("0:425a68", f"425a68{_LEVELS}314159265359", f"425a68{_LEVELS}177245385090"),
        "0&((1|2)>1)",
    ),
    Kind(
        "unreadable.XZ",
        "xz file with filters other than LZMA2, x86 and delta",
        (
            f"{_XZ}(02|03|41|42|43|81|82|83|c1|c2|c3)",
            f"{_XZ}01!(03|04)",
            "0:fd377a585a00",
            "(02|03|04|05|06|07)01(05|06|07|08|09|0a|0b)002101??00",
        ),
        "0|1|(2&3)",
    ),
    Kind(
        "unreadable.Packed",
        "file packed by zstd, lz4, lzip, lrzip, rzip, lzop or compress",
        (
            *("0:(22|23|24|25|26|27|28)b52ffd", "0:(50|51|52|53|54|55|56|57|58|59|5a|5b|5c|5d|5e|5f)2a4d18"),
            *("0:04224d18", "0:02214c18", "0:4c5a4950(00|01)", "0:4c525a4900", "0:525a495002", "0:894c5a4f000d0a1a0a"),
            "0:1f9d(09|0a|0b|0c|0d|0e|0f|10|89|8a|8b|8c|8d|8e|8f|90)",
        ),
    ),
    Kind("unreadable.LZMA", "file packed by lzma", _lzma_alone(), "(0|1|2|3|4|5|6|7|8)&(9|(10&(11=0)))"),
    Kind(
        "unreadable.Archive",
        "archive of ACE, FreeArc or zpaq",
        ("7:2a2a4143452a2a", "0:41724301", "0:376b5374a0"),
    ),
    Kind(
        "unreadable.Image",
        "image of a file system or a disk: squashfs, WIM, VHD, VHDX, VMDK, QCOW",
        (
            *("0:68737173{24}0400", "0:73717368{24}0004", "0:4d5357494d000000", "0:7668647866696c65"),
            *("0:636f6e6563746978", "EOF-512:636f6e6563746978", "0:4b444d56", "0:514649fb"),
        ),
    ),
)
"""What the scanner cannot look into; always refused."""

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
    """Compile the signatures of the kinds that a site refuses, and of what the scanner cannot look into.

    Args:
        refused: what the site refuses, as `executables` and `scripts`; others have no signatures.

    Returns:
        The content of an .ldb file.
    """
    wanted = {word.removesuffix("s") for word in refused}
    kinds = (*UNREADABLE, *(kind for kind in KINDS if kind.name.partition(".")[0] in wanted))
    return "".join(f"{kind.signature()}\n" for kind in kinds)
