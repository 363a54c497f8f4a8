"""Running a plan: the only part that touches the machine, through one sandbox.

Each room stands on those below it; import-linter holds them to that:

======================  ==========================================================================
``cache``               looks after what builds have kept
``sidebyside``          many builds, each in a process of its own
``images``              one disk image, from a request to artefacts in their places
``ramdisks``            one ramdisk with its kernel, the same way
``tree``                the root tree: steps in order, layers that are found and kept, what it may hold
``steps``               one step, where its phase runs
``packages``            the transaction, the archives for it, a lock's and private repositories' part
``host``                what the host has to give: checked before any work, work folder, network
``staging``             variables, scripts and files, laid ready for steps
``artefacts``           finished files, what lies beside them, and putting them in place
``state``               what a running build knows
``results``             what a build gives back
``preloads``            the names of the modules that the sandbox imports before its jobs
======================  ==========================================================================

Nothing is imported here and in the rooms themselves: the launcher, which loads functions of this package for every
build, would load the builder.
"""

from __future__ import annotations
