"""Keys and logins of package repositories: in every step inside the target, and in no layer.

They are bound from the work folder, because a file of the lowest layer gets into the image as soon as a step changes
its mode or owner.
"""

from __future__ import annotations

from imagewright.building.staging import write_tree
from imagewright.building.state import Building
from imagewright.drivers import PRIVATE, PrivateRepositories
from imagewright.plan import CORE
from imagewright.sandbox.jobs import Bind


def lay_private(building: Building) -> None:
    """Write what the package manager gives, for mapped root alone."""
    manager = building.prepared.package_manager
    if isinstance(manager, PrivateRepositories) and manager.repositories:
        folder = building.folder / "private"
        write_tree(manager.private_files(), folder, CORE)
        folder.chmod(0o700)
        building.sandbox.own(folder)


def private_binds(building: Building) -> tuple[Bind, ...]:
    """What shows it to a job inside the target."""
    folder = building.folder / "private"
    return (Bind(source=folder, target=PRIVATE),) if folder.exists() else ()
