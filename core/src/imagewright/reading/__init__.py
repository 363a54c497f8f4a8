"""Reads disk images without mounting them: formats, partition tables, filesystems, kernels.

The way is :func:`~imagewright.reading.images.open_image` → :func:`~imagewright.reading.systems.find_system` →
:mod:`~imagewright.reading.extract`. Nothing here writes to an image, needs root, or trusts what it reads.
"""

from __future__ import annotations
