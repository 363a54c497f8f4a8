"""The one public door for people who write flavours and drivers."""

from __future__ import annotations

from imagewright.drivers import BuiltImage, Output, PackageManager
from imagewright.errors import ImagewrightError, StepFailed
from imagewright.flavour import OPERATING_SYSTEM, Flavour
from imagewright.hookspecs import hookimpl
from imagewright.types import (
    API_VERSION,
    GIB,
    MIB,
    BinaryDependency,
    BuildContext,
    Call,
    CallContext,
    Command,
    Entry,
    InitFragment,
    KernelModules,
    Layout,
    Package,
    Packages,
    Parameter,
    Partition,
    Phase,
    Put,
    Script,
    Size,
    Step,
    Tree,
    UdevRules,
)

__all__ = [
    "API_VERSION",
    "GIB",
    "MIB",
    "OPERATING_SYSTEM",
    "BinaryDependency",
    "BuildContext",
    "BuiltImage",
    "Call",
    "CallContext",
    "Command",
    "Entry",
    "Flavour",
    "ImagewrightError",
    "InitFragment",
    "KernelModules",
    "Layout",
    "Output",
    "Package",
    "PackageManager",
    "Packages",
    "Parameter",
    "Partition",
    "Phase",
    "Put",
    "Script",
    "Size",
    "Step",
    "StepFailed",
    "Tree",
    "UdevRules",
    "hookimpl",
]
