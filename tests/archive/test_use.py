# SPDX-License-Identifier: GPL-3.0-or-later
"""Searching, exporting, holding, retention and verifying, as an administrator does it; and what others may not."""

from __future__ import annotations

import json

import pytest

from archive.conftest import fill
from archive.log_host import ALICE, AS_ARCHIVE, BOB, CARL, DAY, HOSTS, SQL, LogHost, event, lines

OLD = "2020-01-01"


@pytest.fixture
def full(one_host: LogHost) -> LogHost:
    """The few events, for each test anew."""
    return fill(one_host)


def test_each_use_is_noted_before_it_is_answered(full: LogHost) -> None:
    full.ask("search", "--person", ALICE, "--word", "budget")
    full.ask("export", "--person", BOB, "--reason", "case 7", "--to", "/root/out")
    hold = full.ask("hold", "--person", ALICE, "--case", "seven", "--reason", "court").split()[0]
    full.ask("release", hold, "--reason", "settled")
    full.ask("verify")
    noted = [json.loads(line) for line in full.sh("cat /var/log/sallyport/archive-use.jsonl").splitlines()]
    assert [(one["kind"], one.get("command")) for one in noted] == [
        ("use", "search"),
        ("use", "export"),
        ("hold", None),
        ("release", None),
        ("use", "verify"),
    ]
    assert {one["who"] for one in noted} == {"eva"}
    assert noted[0]["asked"] == {"people": [ALICE], "words": ["budget"], "limit": 100}
    assert noted[0]["found"] == 3
    assert noted[1]["asked"]["reason"] == "case 7"
    # without a key nothing can be noted, and nobody is answered
    full.sh("mv /var/lib/sallyport-archive/key /root/key")
    try:
        assert "budget" not in full.ask("search", "--person", ALICE, code=2)
        full.ask("export", "--person", BOB, "--reason", "x", "--to", "/root/out2", code=2)
        assert full.sh("ls -A /root | grep out2 || true") == ""
    finally:
        full.sh("mv /root/key /var/lib/sallyport-archive/key")


def test_an_export_that_was_killed_is_noted(full: LogHost) -> None:
    hold = "BEGIN; LOCK TABLE events; SELECT pg_sleep(6)"
    command = f"sallyport-archive export --person {BOB} --reason killed --to /root/out"
    done = full.run(
        "sh", "-c", f"{SQL} -c '{hold}' & sleep 1; timeout --signal=KILL 3 {command}; code=$?; wait; exit $code"
    )
    assert done.returncode == 137, done.stdout + done.stderr
    (noted,) = [json.loads(line) for line in full.sh("cat /var/log/sallyport/archive-use.jsonl").splitlines()]
    assert (noted["command"], noted["asked"]["reason"]) == ("export", "killed")
    assert "everything is as it was sealed" in full.ask("verify")


def test_what_is_added_to_a_past_day_is_said(full: LogHost) -> None:
    full.append(lines(event(), event()))
    said = full.ask("seal")
    assert f"<1>im-int/{DAY}/im.jsonl: 2 lines were added after its day was over" in said
    assert "added" not in full.ask("seal")
    said = full.ask("verify")
    assert f"note   im-int/{DAY}/im.jsonl: 2 lines were added after its day was over" in said
    assert "everything is as it was sealed" in said


def test_others_get_nothing(full: LogHost) -> None:
    nobody = "setpriv --reuid=nobody --regid=nogroup --clear-groups"
    for words in ("search", "holds", "verify", "status", "seal", "setup", "expire"):
        done = full.run("sh", "-c", f"{nobody} sallyport-archive {words}")
        assert done.returncode == 2, words
        assert b"budget" not in done.stdout
        assert b"Traceback" not in done.stderr, done.stderr
    # the service's own account reads, and can neither seal nor search without a trace
    for words in ("search", "seal", "hold --person a@b.example --reason x"):
        assert full.run("sh", "-c", f"{AS_ARCHIVE} sallyport-archive {words}").returncode == 2
    assert full.run("sh", "-c", f"{AS_ARCHIVE} cat /var/lib/sallyport-archive/key").returncode != 0
    for role in ("sallyport-archive", "postgres"):
        done = full.run("sh", "-c", f"{nobody} psql -h /run/postgresql -U {role} -d sallyport_archive -c 'SELECT 1'")
        assert b"Peer authentication failed" in done.stderr
    assert (
        full.sql("SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = 'sallyport-archive'")
        == "f|f|f"
    )
    assert (
        full.run("sh", "-c", "ss -ltnH | grep 5432; grep -l . /proc/net/none; cat /proc/net/tcp")
        .stdout.decode()
        .count(":1538")
        == 0
    )


def test_no_message_is_in_the_log_of_the_database(full: LogHost) -> None:
    full.append(lines(event(body="very private", time="9999-12-31T23:59:59.999Z", rule="x" * 10_000)))
    full.settle()
    full.ask("search", "--word", "very private")
    assert "private" not in full.sh("cat /var/log/postgresql/*.log")


def test_an_export_is_whole_and_signed(full: LogHost) -> None:
    full.ask("hold", "--person", CARL, "--case", "seven", "--until", f"{DAY}T12:30:00Z", "--reason", "court")
    full.ask("hold", "--person", ALICE, "--case", "seven", "--from", f"{DAY}T13:30:00Z", "--reason", "court")
    assert "2 events in /root/out" in full.ask("export", "--case", "seven", "--reason", "court", "--to", "/root/out")
    assert full.sh("ls /root/out").split() == [
        "README.txt",
        "events.html",
        "events.jsonl",
        "manifest.json",
        "manifest.json.sig",
        "signers",
    ]
    exported = full.sh("cat /root/out/events.jsonl").splitlines()
    assert [json.loads(line)["time"][11:13] for line in exported] == ["12", "14"]
    assert set(exported) <= set(full.sh(f"cat {HOSTS}/im-int/{DAY}/im.jsonl").splitlines())
    check = (
        "cd /root/out && ssh-keygen -Y verify -f signers -I archive -n sallyport-archive-export -s manifest.json.sig"
    )
    assert "Good" in full.sh(f"{check} <manifest.json")
    manifest = json.loads(full.sh("cat /root/out/manifest.json"))
    said = [line.split() for line in full.sh("cd /root/out && sha256sum *").splitlines()]
    sums = {name: digest for digest, name in said}
    assert {one["name"]: one["sha256"] for one in manifest["files"]}.items() <= sums.items()
    assert {*sums} - {one["name"] for one in manifest["files"]} == {"manifest.json", "manifest.json.sig"}
    full.sh("sed -i s/seven/eight/ /root/out/manifest.json")
    assert full.run("sh", "-c", f"{check} <manifest.json").returncode != 0
    full.ask("export", "--person", ALICE, "--reason", "x", "--to", "/root/out.tar")
    assert full.sh("tar tf /root/out.tar").split()[0] == "out/"
    assert full.sh("stat -c %a /root/out.tar /root/out").split() == ["600", "700"]


def test_an_export_of_a_case_names_the_held_files(full: LogHost) -> None:
    upload = {"kind": "file", "type": "upload", "sha256": "0f" * 32, "file": "<plan>.txt"}
    address = "https://files.im.demo.example:5281/file_share/two/b.txt"
    full.append(
        lines(
            event(ALICE, "files.im.demo.example", slot="one-1", **upload),
            event(BOB, ALICE, body=f"see {address}"),
            event(CARL, "files.im.demo.example", slot="three", **upload),
        )
    )
    full.settle()
    full.ask("hold", "--person", ALICE, "--case", "seven", "--reason", "court")
    full.ask("export", "--case", "seven", "--reason", "court", "--to", "/root/out")
    folder = "files%2eim%2edemo%2eexample/sallyport_held"
    assert full.sh("cat /root/out/files.txt").split() == [f"{folder}/one%2d1.bin", f"{folder}/two.bin"]
    assert full.sh("cat /root/out/files.sha256").split() == ["0f" * 32, f"{folder}/one%2d1.bin"]
    manifest = json.loads(full.sh("cat /root/out/manifest.json"))
    assert [(one["server"], one["name"]) for one in manifest["held_files"]] == [
        ("im-int", "<plan>.txt"),
        ("im-int", ""),
    ]
    assert {"files.txt", "files.sha256"} <= {one["name"] for one in manifest["files"]}
    page = full.sh("cat /root/out/events.html")
    assert "Held files" in page
    assert f"{folder}/one%2d1.bin" in page
    # nobody said that they are held
    full.ask("export", "--person", ALICE, "--reason", "x", "--to", "/root/out2")
    assert "files.txt" not in full.sh("ls /root/out2")
    assert "Held files" not in full.sh("cat /root/out2/events.html")


def test_holds_for_the_servers_say_no_more_than_they_need(full: LogHost) -> None:
    said = full.ask("hold", "--person", ALICE, "--case", "seven", "--until", DAY, "--reason", "a secret")
    assert "make holds" in said
    hold = said.split()[0]
    told = {"hold": hold, "people": [ALICE], "rooms": [], "from": None, "until": f"{DAY[:-1]}2T00:00:00+00:00"}
    said = json.loads(full.ask("holds", "--for-servers"))
    assert (sorted(said), said["holds"]) == (["chain", "format", "holds", "number"], [told])
    assert "make holds" in full.ask("release", hold, "--reason", "settled")
    assert json.loads(full.ask("holds", "--for-servers")) == {**said, "number": said["number"] + 1, "holds": []}


def test_another_key(full: LogHost) -> None:
    full.sh("cp /var/lib/sallyport-archive/key.pub /root/first.pub")
    assert "SHA256:" in full.ask("renew-key", "--reason", "eva left")
    full.ask("seal")
    heads = ("--heads", "/var/log/sallyport/heads.jsonl")
    for kept in ("/root/first.pub", "/var/lib/sallyport-archive/key.pub"):
        assert "everything is as it was sealed" in full.ask("verify", *heads, "--key", kept)
    full.ask("export", "--person", ALICE, "--reason", "x", "--to", "/root/out")
    key = full.sh("cut -d' ' -f2 /var/lib/sallyport-archive/key.pub").strip()
    assert key in full.sh("cat /root/out/signers")
    assert key not in full.sh("cat /root/first.pub")
    noted = json.loads(full.sh("grep renewal /var/log/sallyport/archive-use.jsonl"))
    assert (noted["who"], noted["reason"], noted["public"].split()[1]) == ("eva", "eva left", key)
    # another key was put there by hand
    full.sh("cd /var/lib/sallyport-archive; rm key key.pub; ssh-keygen -qt ed25519 -N '' -f key")
    assert "is another key than the chain names" in full.ask("verify", "--key", "/root/first.pub", code=1)


def test_an_export_names_what_the_files_do_not_have(full: LogHost) -> None:
    full.sh(f"sed -i s/thanks/thinks/ {HOSTS}/im-int/{DAY}/im.jsonl")
    said = full.ask("export", "--person", BOB, "--reason", "x", "--to", "/root/out", code=1)
    assert "1 of them are not in the day files" in said
    manifest = json.loads(full.sh("cat /root/out/manifest.json"))
    assert len(manifest["not_in_day_files"]) == 1
    said = full.ask("verify", code=1)
    assert f"WRONG  im-int/{DAY}/im.jsonl: changed" in said
    (lost,) = [one for one in full.found() if one.get("body") == "thanks"]
    assert f"note   im-int/{DAY}/im.jsonl: the database still has event {lost['id']}, {DAY} 11:00:00" in said


def test_rows_go_with_their_files_and_what_is_held_stays(full: LogHost) -> None:
    full.sh("""echo '{"messages_days": 365, "system_days": 180}' >/etc/sallyport/archive.json""")
    full.append(lines(*[event((ALICE, CARL)[n % 2], BOB, OLD, body=f"old {n}") for n in range(10)]), day=OLD)
    full.append(b"broken\n", day=OLD)
    full.settle()
    assert full.status()["malformed"] == 1
    assert "clock may have jumped" in full.ask("expire", code=2)
    hold = full.ask("hold", "--person", ALICE, "--reason", "court").split()[0]
    assert [one["hold"] for one in json.loads(full.ask("holds", "--json"))["holds"]] == [hold]
    full.ask("seal", clock=-86400)
    full.ask("accept", f"entry-{full.status()['entries']}", "--reason", "the clock of this test")
    assert f"removed 6 lines of im-int/{OLD}/im.jsonl (messages_days 365); 5 are held" in full.ask("expire")
    full.settle()
    assert full.found("--word", "old", "--person", CARL) == []
    assert len(full.found("--word", "old", "--person", ALICE)) == 5
    assert len(full.found("--word", "budget")) == 3
    assert full.status()["malformed"] == 0
    full.ask("seal")
    assert "everything is as it was sealed" in full.ask("verify", "--heads", "/var/log/sallyport/heads.jsonl")
    # held rows know their new place
    assert "5 events" in full.ask("export", "--person", ALICE, "--until", OLD, "--reason", "x", "--to", "/root/out")
    full.ask("release", hold, "--reason", "settled")
    assert f"removed 5 lines of im-int/{OLD}/im.jsonl" in full.ask("expire")
    assert full.found("--word", "old") == []
    assert full.sql("SELECT count(*) FROM files") == "1"
    full.ask("seal")
    assert "everything is as it was sealed" in full.ask("verify", "--heads", "/var/log/sallyport/heads.jsonl")


def test_a_database_that_is_down_forgets_later(full: LogHost) -> None:
    full.sh("""echo '{"messages_days": 365, "system_days": 180}' >/etc/sallyport/archive.json""")
    full.append(lines(event(day=OLD, body="old")), day=OLD)
    full.settle()
    full.ask("seal", clock=-86400)
    full.database("stop")
    try:
        full.ask("expire", code=2)
        assert full.run("test", "-e", f"{HOSTS}/im-int/{OLD}").returncode == 1
    finally:
        full.database("start")
    assert len(full.found("--word", "old")) == 1
    full.ask("expire")
    assert full.found("--word", "old") == []


def test_two_seals_at_once_are_two_entries(full: LogHost) -> None:
    full.sh("for i in 1 2 3 4 5 6; do sallyport-archive seal & sallyport-archive search >/dev/null & done; wait")
    assert "everything is as it was sealed" in full.ask("verify", "--heads", "/var/log/sallyport/heads.jsonl")
    assert full.status()["entries"] == 2 + 12 + 1
