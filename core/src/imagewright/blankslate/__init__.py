"""The blank slate: what an image may not hold, because it belongs to one machine or to the builder.

:mod:`~imagewright.blankslate.rules` is the table of rules, :mod:`~imagewright.blankslate.marks` gathers what tells the
builder's machine and the caller, and :mod:`~imagewright.blankslate.looking` finds both in a root tree or in what a
ramdisk holds. It knows no flavours: whoever asks decides what is allowed.
"""
