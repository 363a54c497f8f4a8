"""The variables that scripts are given, as one table: for the linter and for the reference."""

from __future__ import annotations

from dataclasses import dataclass

from imagewright.planning.keys import LATE
from imagewright.types import Phase, Place

EVERYWHERE = frozenset(Place)
BUILDING = EVERYWHERE - {Place.BOOTED}
OUTSIDE = frozenset({Place.OUTSIDE, Place.DISK})


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable of the contract; ``places`` are where it is set, ``phases`` narrow that further if there are any.

    ``always`` says whether it is set in each of these phases, whatever is built.
    """

    name: str
    meaning: str
    places: frozenset[Place] = BUILDING
    phases: frozenset[Phase] = frozenset()
    always: bool = True

    def in_phase(self, phase: Phase) -> bool:
        """Whether scripts of a phase may use it."""
        return phase.place in self.places and (not self.phases or phase in self.phases)


VARIABLES = (
    Variable(name="ARCH", meaning="the architecture: `amd64`", places=EVERYWHERE),
    Variable(name="RELEASE", meaning="the release of the operating system, such as `trixie`", places=EVERYWHERE),
    Variable(name="IMAGE_NAME", meaning="the name given with `-o`, without folder and suffix", places=EVERYWHERE),
    Variable(
        name="IMAGE_KERNEL",
        meaning="the version of the image's kernel, once there is one: what `uname -r` will say there",
        always=False,
    ),
    Variable(name="IMAGE_ROOT_UUID", meaning="the UUID that the root filesystem will have", phases=LATE),
    Variable(name="IMAGE_ROOT_LABEL", meaning="the label that the root filesystem will have", phases=LATE),
    Variable(
        name="IMAGE_KERNEL_ARGUMENTS", meaning="what `--kernel-args` adds to the kernel's command line", phases=LATE
    ),
    Variable(
        name="IMAGE_SIZE",
        meaning="whole GiB (2^30): `--image-size` rounded up, else 2",
        places=frozenset({Place.HOST}),
        phases=frozenset({Phase.BLOCK_DEVICE_SIZE}),
    ),
    Variable(
        name="TMP_HOOKS_PATH",
        meaning="the folder whose content is at `/tmp/in_target.d` later",
        places=frozenset({Place.HOST}),
        phases=frozenset({Phase.EXTRA_DATA}),
    ),
    Variable(name="TARGET_ROOT", meaning="the folder of the root tree", places=OUTSIDE),
    Variable(
        name="IMAGE_BLOCK_DEVICE",
        meaning="the disk file, or what the script before printed as `IMAGE_BLOCK_DEVICE=PATH`",
        places=frozenset({Place.DISK}),
    ),
    Variable(name="_LIB", meaning='a folder; `. "$_LIB/die"` defines `die MESSAGE`'),
    Variable(name="SOURCE_DATE_EPOCH", meaning="the one time of the build, in seconds"),
    Variable(name="LC_ALL", meaning="`C.UTF-8`", places=EVERYWHERE),
    Variable(name="TZ", meaning="`UTC`", places=EVERYWHERE),
    Variable(name="PATH", meaning="the usual folders; on the host, the caller's", places=EVERYWHERE),
    Variable(name="HOME", meaning="`/root`; on the host, the caller's home"),
    Variable(name="USER", meaning="`root`; on the host, the caller", always=False),
    Variable(name="LOGNAME", meaning="`root`; on the host, the caller", always=False),
    Variable(
        name="DEBIAN_FRONTEND",
        meaning="`noninteractive`",
        places=frozenset({Place.TARGET}),
    ),
    Variable(
        name="DEBCONF_NONINTERACTIVE_SEEN",
        meaning="`true`",
        places=frozenset({Place.TARGET}),
    ),
    Variable(name="TERM", meaning="`dumb`", places=BUILDING - {Place.HOST}),
    *(
        Variable(name=name, meaning="the caller's", places=frozenset({Place.HOST}), always=False)
        for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")
    ),
    *(
        Variable(name=name, meaning="the caller's proxy, in both spellings; not with `--offline`", always=False)
        for stem in ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
        for name in (stem, stem.upper())
    ),
)
"""All of them; a flavour's own parameters come on top, as ``NAME`` and as ``FLAVOUR_NAME``."""
