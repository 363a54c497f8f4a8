"""The options of the cache of layers: a part of the one table."""

from __future__ import annotations

from imagewright.cli.options import kinds
from imagewright.cli.options.setting import Setting, switch

BUILD = (
    switch("no-cache", "Use and keep no layers; packages that were fetched are used.", group="Cache"),
    switch("refresh", "Ask package archives again, although their answer is younger than 6 hours.", group="Cache"),
    Setting(
        name="from",
        help="Run everything from this phase or step on, although its layers are kept.",
        convert=kinds.phase_or_step,
        metavar="PHASE|STEP",
        default="",
        shown="the first change",
        group="Cache",
    ),
    switch(
        "shell-on-failure",
        "At a terminal, open a shell in the root tree as a step that failed left it.",
        group="Display",
    ),
)
"""What builds take."""

OPTIONS = (
    *BUILD,
    switch("after", "Enter the tree as it is after the step, not before it.", group="Shell"),
    Setting(
        name="max-size",
        help="GiB of layers to leave.",
        convert=kinds.gib,
        metavar="GIB",
        shown="20",
        group="Cache",
    ),
    Setting(
        name="max-age",
        help="Days after which an unused layer goes.",
        convert=kinds.count,
        metavar="DAYS",
        shown="30",
        group="Cache",
    ),
)
