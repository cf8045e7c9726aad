# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a validator where the new files already stand in their places, though nothing live was touched.

The new files are laid out under a stage directory. In a mount namespace of its own, the validator sees each
directory concerned as an overlay: the stage on top of the live one, read-only. A configuration that includes
other new files by their absolute paths is thus checked as it will be.

Sources: mount_namespaces(7), unshare(1), mount(8), Linux Documentation/filesystems/overlayfs (lower layers
only; a character device 0/0 hides the name below it).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from ansible_collections.sallyport.im.plugins.module_utils.atomic_files import erase, make_private, own
from ansible_collections.sallyport.im.plugins.module_utils.programs import ProgramError, run
from ansible_collections.sallyport.im.plugins.module_utils.service_plan import WantedDirectory, WantedFile, numbers

# The script's own exit status when a mount fails; a validator would hardly use it.
NO_VIEW = 97
SCRIPT = """
while [ "$1" != -- ]; do
  mount -t overlay -o "ro,lowerdir=$1:$2" overlay "$2" || exit 97
  shift 2
done
shift
exec "$@"
"""


class ViewError(Exception):
    """The private view cannot be made here, or a validator did not accept the files."""


class Stage:
    """The new files at their full paths under a directory of their own.

    Args:
        root: The stage directory; `lay_out` empties it first.
    """

    def __init__(self, root: str) -> None:
        """Take the place; nothing is made yet."""
        self.root = root
        self._tops: set[str] = set()
        self._wanted: dict[str, WantedDirectory] = {}

    def lay_out(
        self, files: Sequence[WantedFile], directories: Sequence[WantedDirectory], hidden: Iterable[str]
    ) -> None:
        """Write the new files and hide what will be removed.

        Args:
            files: Files to write.
            directories: Directories as they should be.
            hidden: Paths that will not be there any more.

        Raises:
            OSError: It cannot be written.
            ViewError: A directory of it cannot be overlaid.
        """
        erase(self.root)
        make_private(self.root)
        self._wanted = {directory.path: directory for directory in directories}
        for path in self._wanted:
            self._directory(path)
            self._concern(path)
        for path in set(hidden) - set(self._wanted) - {file.path for file in files}:
            self._place(path)
            os.mknod(self.root + path, stat.S_IFCHR, os.makedev(0, 0))
        for file in files:
            uid, gid = _known(file.owner, file.group)
            handle = os.open(self._place(file.path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(file.content)
                os.fchown(handle, uid, gid)
                os.fchmod(handle, file.mode)

    def mounts(self) -> list[tuple[str, str]]:
        """Return pairs of stage directory and live directory, none inside another."""
        tops: list[str] = []
        for path in sorted(self._tops):
            if not any(path.startswith(top + "/") for top in tops):
                tops.append(path)
        return [(self.root + path, path) for path in tops]

    def remove(self) -> None:
        """Remove the stage."""
        erase(self.root)

    def _place(self, path: str) -> str:
        """Make the directory of `path` in the stage; return where `path` stands there."""
        parent = str(Path(path).parent)
        self._directory(parent)
        self._concern(parent)
        return self.root + path

    def _concern(self, path: str) -> None:
        """Note the deepest live directory on the way to `path`: it is the one to overlay."""
        live = Path(path)
        while not live.is_dir():
            live = live.parent
        if str(live) == "/":
            raise ViewError(f"{path}: cannot be shown to a validator before it exists; make its directory first")
        if set(str(live)) & set(":,\\"):
            raise ViewError(f"{live}: a path with a colon, comma or backslash cannot be shown to a validator")
        self._tops.add(str(live))

    def _directory(self, path: str) -> None:
        """Make a directory in the stage with the owner and mode that it has, or will have, live."""
        place = Path(self.root + path)
        if place.is_dir():
            return
        if path != "/":
            self._directory(str(Path(path).parent))
        place.mkdir()
        live = Path(path)
        if path in self._wanted:
            wanted = self._wanted[path]
            own(str(place), *_known(wanted.owner, wanted.group), wanted.mode)
        elif live.is_dir():
            status = live.stat()
            own(str(place), status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))
        else:
            place.chmod(0o755)


def run_validator(argv: Sequence[str], stage: Stage, seconds: float) -> None:
    """Run one validator in the private view.

    Args:
        argv: Program and arguments; `{stage}` in them becomes the stage directory.
        stage: The new files.
        seconds: How long it may take.

    Raises:
        ViewError: It did not accept the files (its output is in the text), or could not be run.
    """
    command = [word.replace("{stage}", stage.root) for word in argv]
    # root's own directories (/root, the stage's parents) stay closed to a validator that becomes another user:
    # it reaches the new files through the overlay, with the rights of the files themselves
    pairs = [word for pair in stage.mounts() for word in pair]
    view = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", SCRIPT, "sh", *pairs, "--", *command]
    try:
        done = run(view, seconds, join=True)
    except ProgramError as error:
        raise ViewError(f"{' '.join(argv)}: could not be run: {error}") from error
    said = done.out.strip()[-4000:]
    if done.status == NO_VIEW or said.startswith("unshare:"):
        raise ViewError(
            f"the new files cannot be shown to the validator: {said}. This needs root with CAP_SYS_ADMIN and"
            " overlayfs (a container: --cap-add SYS_ADMIN; a kernel: modprobe overlay)"
        )
    if done.status != 0:
        raise ViewError(f"{' '.join(argv)}: exit status {done.status}: {said or '(no output)'}")


def _known(owner: str, group: str) -> tuple[int, int]:
    """Return the numbers of a user and a group, root's for one that does not exist yet."""
    uid, gid = numbers(owner, group)
    return uid or 0, gid or 0
