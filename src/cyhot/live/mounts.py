"""On what kind of file system a folder is. Pure: the list of mounts in, a name out."""

from __future__ import annotations

import os
import re

# What another machine (or the host of a virtual one) changes there, the kernel does not report.
_REMOTE = re.compile(
    r"nfs\d?|cifs|smb\w*|9p|afs|ceph|glusterfs|lustre|ncpfs|vboxsf|prl_fs|fuse\.(?!portal)\w+"
)
_OCTAL = re.compile(r"\\([0-7]{3})")


def remote_kind(folder: str, mountinfo: str) -> str:
    """The kind of the network file system that a folder is on, ``""`` if it is on none.

    Args:
        folder: An absolute path without symbolic links.
        mountinfo: The text of ``/proc/self/mountinfo``.
    """
    longest, kind = "", ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[4])
        # Of two mounts on the same folder the later one is seen.
        if _is_inside(folder, point) and len(point) >= len(longest):
            longest, kind = point, after.split()[0]
    return kind if _REMOTE.fullmatch(kind) else ""


def _is_inside(folder: str, point: str) -> bool:
    return os.path.join(folder, "").startswith(os.path.join(point, ""))
