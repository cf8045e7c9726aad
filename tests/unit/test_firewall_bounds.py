# SPDX-License-Identifier: GPL-3.0-or-later
"""How many connections may be open, tried for real: the rules of a server in a network of its own, small numbers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils.firewall import ruleset
from unit.sites import external_site

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
NETWORK = """
unshare --net sleep 60 &
far=$!
until test "$(readlink /proc/$far/ns/net)" != "$(readlink /proc/self/ns/net)"; do sleep 0.05; done
ip link add near type veth peer name far netns $far
ip link set near up
ip address add 10.20.3.12/24 dev near
ip route add 198.51.100.0/24 dev near
nft -f rules
python3 -c '
import socket, time
listener = socket.create_server(("10.20.3.12", 5269), backlog=100)
time.sleep(60)' &
server=$!
until ss -Hltn "sport = :5269" | grep -q .; do sleep 0.05; done
nsenter --target $far --net sh -c '
ip link set far up
for last in 2 3 4 5; do ip address add 198.51.100.$last/24 dev far; done
ip route add 10.20.3.0/24 dev far
exec python3 -c "$0"' "$TRIES"
kill $server $far
"""
TRIES = """
import socket
held = []
def reached(address, times):
    for _ in range(times):
        tried = socket.socket()
        tried.settimeout(0.4)
        tried.bind((address, 0))
        try:
            tried.connect(("10.20.3.12", 5269))
            held.append(tried)
            yield True
        except OSError:
            tried.close()
for last, times in %s:
    print(sum(reached(f"198.51.100.{last}", times)))
"""


def reached(folder: Path, tries: list[tuple[int, int]], *, places: int = 100, together: int = 100) -> list[int]:
    """Return how many connections came about, of so many tries of each address outside; each may have three."""
    text = ruleset(external_site(folder / "site"), "im-ext", connections=3)
    for pattern, small in ((r"size 16384$", f"size {places}"), (r"ct count over 2048 ", f"ct count over {together} ")):
        text, found = re.subn(pattern, small, text, flags=re.M)
        assert found
    # partners of any time
    text = re.sub(r"meta time \S+ \d+ ", "", text)
    (folder / "rules").write_text(text, encoding="utf-8")
    command = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--net", "sh", "-euc", NETWORK]
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": PATH, "TRIES": TRIES % tries},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


@pytest.fixture(scope="module", autouse=True)
def own_network() -> None:
    """Make sure that a network of one's own can be made here; the kit needs nftables on its hosts only."""
    if not shutil.which("nft", path=PATH):
        pytest.fail("Debian's package nftables is not here; this brings it: setup/packages.sh python3", pytrace=False)
    command = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--net", "nft", "list", "ruleset"]
    tried = subprocess.run(command, env={"PATH": PATH}, capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"no network of one's own can be made here: {tried.stderr.decode().strip()}")


def test_each_address_has_its_bound(tmp_path: Path) -> None:
    assert reached(tmp_path, [(2, 4), (3, 4)]) == [3, 3]


def test_who_finds_no_place_in_a_full_set_is_refused(tmp_path: Path) -> None:
    """And who has one keeps it."""
    assert reached(tmp_path, [(2, 1), (3, 1), (4, 1), (2, 1)], places=2) == [1, 1, 0, 1]


def test_all_together_have_a_bound(tmp_path: Path) -> None:
    """What an address tries beyond its own is none of it."""
    assert reached(tmp_path, [(2, 9), (3, 2), (4, 1)], together=5) == [3, 2, 0]
