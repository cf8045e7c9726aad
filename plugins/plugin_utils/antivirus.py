# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scanner of a host is told: its limits, where signatures come from, and which kinds of files are refused.

Pure functions of the site. The signatures of kinds stand in `file_kinds`.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Any

from ansible_collections.sallyport.im.plugins.plugin_utils.file_kinds import signatures
from ansible_collections.sallyport.im.plugins.plugin_utils.site_file import AntivirusSignatures, SiteFile

OFFICIAL_HOST = "database.clamav.net"
"""Where ClamAV's own sets come from, when the site has no mirror of them."""
OFFICIAL_SETS = ("main", "daily")
"""ClamAV's own sets that must be there; each is a file `.cvd` or `.cld`."""

TOTAL_TIMES = 10
"""All that comes out of an upload, with itself: so an archive of the largest size, in archives, is looked at whole."""
MOST_MEGABYTES = 2047
"""More than this clamd does not take for one file."""
DEEPEST = 17
MOST_FILES = 10000
THREADS = 12
SCANS = 4
"""So many files an IM server has scanned at a time."""
SETS_MEGABYTES = {True: 2752, False: 192}
"""MiB for the sets: with ClamAV's own, of which a reload holds two copies; and with others alone."""
SCAN_TIMES = 4
"""Memory of one scan, as a multiple of the largest upload; measured: below three, of files that people share."""
ALERTS = {
    "encrypted": ("AlertEncryptedArchive", "AlertEncryptedDoc"),
    "macros": ("AlertOLE2Macros",),
}
"""clamd's own options for kinds that it tells by itself."""
SERVER_PATHS = ("/home", "/tmp", "/var/tmp")  # noqa: S108  # they are scanned, not written
"""What users can write."""
DESKTOP_PATHS = (*SERVER_PATHS, "/media", "/mnt")


def memory(megabytes: int, *, official: bool) -> int:
    """Return the MiB of memory that a scanner needs: for its sets, and for scans of the largest files side by side."""
    return SETS_MEGABYTES[official] + SCANS * SCAN_TIMES * megabytes


def room(megabytes: int) -> int:
    """Return the MiB of disk that scans need: what clamd cannot write down when it unpacks, it calls clean."""
    return SCANS * (megabytes + _unpacked(megabytes))


def _unpacked(megabytes: int) -> int:
    return min(megabytes * TOTAL_TIMES, MOST_MEGABYTES)


def limits(megabytes: int, seconds: int) -> dict[str, str]:
    """Say how much of a file clamd looks at. What is larger, deeper or slower is not scanned whole.

    Args:
        megabytes: the largest upload.
        seconds: how long who asks waits for a scan. clamd gives up a little before, so that what is too slow always
            has the same answer.

    Returns:
        clamd's options. A file of the largest size fits into each of them, also packed into archives.
    """
    # one bound for both: of a file in an archive that is over its own, clamd cuts off the rest without a word
    unpacked = f"{_unpacked(megabytes)}M"
    return {
        # one more, so that the largest upload is not the first that is cut off
        "StreamMaxLength": f"{megabytes + 1}M",
        "MaxFileSize": unpacked,
        "MaxScanSize": unpacked,
        "PCREMaxFileSize": unpacked,
        "MaxRecursion": str(DEEPEST),
        "MaxFiles": str(MOST_FILES),
        "MaxScanTime": str((seconds - max(2, seconds // 10)) * 1000),
    }


def hosts(signature_sources: AntivirusSignatures, *schemes: str) -> list[str]:
    """List the hosts from which signatures come; the gateway's relay fetches from these.

    Args:
        signature_sources: what the site says of them.
        schemes: only hosts that are asked by one of these, as `https`; without any, all of them.

    Returns:
        Their names, each once, in order.
    """
    urls = [*signature_sources.urls]
    if signature_sources.official:
        # freshclam asks for ClamAV's own sets, and a mirror of them, by TLS
        urls.append(f"https://{signature_sources.mirror or OFFICIAL_HOST}/")
    parts = [urllib.parse.urlsplit(url) for url in urls]
    return sorted({part.hostname for part in parts if part.hostname and part.scheme in (schemes or (part.scheme,))})


def set_name(url: str) -> str:
    """Return the name of the file in which a set of signatures is kept."""
    return urllib.parse.urlsplit(url).path.rpartition("/")[2]


def scanner(settings: SiteFile, group: str, relay: tuple[str, int] | None) -> dict[str, Any]:
    """Say what the scanner of a host does.

    Args:
        settings: of the site.
        group: of the host. Kinds of files are refused on servers only: on a desktop people have programs of their own.
        relay: address and port by which it fetches; None for straight away.

    Returns:
        clamd and freshclam (their options, each a name and a value), kinds (signatures of refused kinds), sets (files
        that must be there), kept (patterns of all that may lie beside the kit's own), official, stale_hours,
        memory_megabytes, room_megabytes (of disk), on_access, and scan_paths (for the weekly scan; empty for all local
        file systems).
    """
    own = settings.antivirus
    desktop = group == "desktops"
    return {
        "clamd": [*_clamd(settings, desktop=desktop)],
        "freshclam": [*_freshclam(own.signatures, relay)],
        "kinds": "" if desktop else signatures(own.refuse),
        "sets": [*(OFFICIAL_SETS if own.signatures.official else ()), *map(set_name, own.signatures.urls)],
        "kept": [*_kept(own.signatures)],
        "official": own.signatures.official,
        "stale_hours": own.signatures.stale_hours,
        "memory_megabytes": memory(settings.files.max_megabytes, official=own.signatures.official),
        # a desktop's scanner is better than none
        "room_megabytes": 0 if desktop else room(settings.files.max_megabytes),
        "on_access": desktop,
        "scan_paths": [] if desktop else [*SERVER_PATHS],
    }


def _kept(sources: AntivirusSignatures) -> Iterator[str]:
    """Name what may lie among the sets: one more could take back what another finds."""
    yield from ("freshclam.dat", "tmp.*", *map(set_name, sources.urls))
    if sources.official:
        yield from (f"{name}.c[lv]d" for name in (*OFFICIAL_SETS, "bytecode"))


def _clamd(settings: SiteFile, *, desktop: bool) -> Iterator[list[str]]:
    refused: Sequence[str] = () if desktop else settings.antivirus.refuse
    found = limits(settings.files.max_megabytes, settings.antivirus.scan_seconds)
    yield from ([name, value] for name, value in found.items())
    # on a desktop a large file is no attack; on a server, what was not looked at whole counts as refused
    yield ["AlertExceedsMax", "no" if desktop else "yes"]
    for kind, options in ALERTS.items():
        yield from ([option, "yes" if kind in refused else "no"] for option in options)
    yield ["MaxThreads", str(THREADS)]
    # a file system of another machine is that machine's affair
    yield ["CrossFilesystems", "no"]
    if desktop:
        yield from (["OnAccessIncludePath", path] for path in DESKTOP_PATHS)
        yield ["OnAccessPrevention", "yes"]
        yield ["OnAccessExtraScanning", "yes"]
        # the scanner itself, and who may do anything anyway
        yield ["OnAccessExcludeUname", "clamav"]
        yield ["OnAccessExcludeRootUID", "yes"]
        yield ["OnAccessMaxFileSize", found["MaxFileSize"]]


def _freshclam(sources: AntivirusSignatures, relay: tuple[str, int] | None) -> Iterator[list[str]]:
    if not sources.official:
        yield from (["ExcludeDatabase", name] for name in (*OFFICIAL_SETS, "bytecode"))
    if sources.official and sources.mirror:
        yield ["PrivateMirror", sources.mirror]
    else:
        yield ["DatabaseMirror", OFFICIAL_HOST]
    yield from (["DatabaseCustomURL", url] for url in sources.urls)
    if relay:
        yield ["HTTPProxyServer", relay[0]]
        yield ["HTTPProxyPort", str(relay[1])]
