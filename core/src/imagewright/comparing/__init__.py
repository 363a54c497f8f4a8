"""What differs between two images, or between their manifests: ``imagewright diff``.

Images are read with :mod:`imagewright.reading`: nothing is mounted, nothing is changed, and nobody needs to be root.
"""
