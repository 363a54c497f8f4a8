"""The options of ``imagewright boot-server``: a part of the one table."""

from __future__ import annotations

from imagewright.cli.options import kinds
from imagewright.cli.options.kinds import Kind
from imagewright.cli.options.setting import Setting, switch

_SERVER = "Boot server"
_ISCSI = "Deployment over iSCSI"

OPTIONS = (
    Setting(
        name="listen",
        help="Where to listen; port 0 is any free one.",
        convert=kinds.endpoint,
        metavar="ADDRESS:PORT",
        shown="0.0.0.0:10000",
        group=_SERVER,
    ),
    Setting(
        name="image",
        help="Image to serve over HTTP, and to write to machines that show a key.",
        convert=kinds.file,
        of_path=True,
        metavar="FILE",
        group=_SERVER,
    ),
    Setting(
        name="reports",
        help="Folder for the reports and inventories that machines send, one JSON file each.",
        convert=kinds.path,
        of_path=True,
        metavar="DIR",
        group=_SERVER,
    ),
    switch("once", "End after one deployment, final report or inventory; exit 1 if it went wrong.", group=_SERVER),
    Setting(
        name="keys",
        help="File with a line `ID KEY` for each deployment whose disk may be written over iSCSI.",
        convert=kinds.file,
        of_path=True,
        metavar="FILE",
        group=_ISCSI,
    ),
    Setting(
        name="keep",
        help="Name of the partition that stays if the disk has it, such as `state`.",
        convert=kinds.text,
        metavar="NAME",
        default="",
        group=_ISCSI,
    ),
    switch("blank", "Write no zeros to a disk that looks blank at both ends and between.", group=_ISCSI),
    Setting(
        name="chap-user",
        help="User of the login (CHAP) to the machines' disks.",
        convert=kinds.text,
        metavar="NAME",
        default="",
        group=_ISCSI,
    ),
    Setting(
        name="chap-password",
        help="File with the password of that user.",
        convert=kinds.file,
        of_path=True,
        metavar="FILE",
        group=_ISCSI,
    ),
    Setting(
        name="connect-to",
        help="Reach a port of a machine at another address, for machines behind a forwarding.",
        kind=Kind.PAIRS,
        convert=kinds.connection,
        metavar="ADDRESS:PORT=ADDRESS:PORT",
        default=(),
        group=_ISCSI,
    ),
)
"""In the order of the help."""
