"""What a ramdisk is made of: executables with their libraries, kernel modules with their firmware, one ``/init``.

Pure knowledge of ramdisks: nothing here knows flavours, plans or the sandbox. A folder is read as the root of a
filesystem (:mod:`imagewright.ramdisk.roots`), never the machine that runs.
"""
