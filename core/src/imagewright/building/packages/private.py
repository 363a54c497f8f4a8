"""Keys and logins of package repositories: in every step inside the target, in no other, and in no layer.

They are bound from the work folder, because a file of the lowest layer gets into the image as soon as a step changes
its mode or owner.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from imagewright.building.packages.locked import locked_binds
from imagewright.building.staging.trees import write_tree
from imagewright.building.state import Building
from imagewright.drivers import PRIVATE, PrivateRepositories
from imagewright.events import Notice
from imagewright.plan import CORE
from imagewright.sandbox.jobs import CLOSED, Bind

_HERE = ("localhost", "127.0.0.1", "::1")


def lay_private(building: Building) -> None:
    """Write what the package manager gives, for mapped root alone."""
    manager = building.prepared.package_manager
    if isinstance(manager, PrivateRepositories) and manager.repositories:
        folder = building.folder / CLOSED
        write_tree(manager.private_files(), folder, CORE)
        folder.chmod(0o700)
        building.sandbox.own(folder)
    for given in building.prepared.repositories:
        one = given.repository
        if one.login and urlsplit(one.address).scheme == "http" and urlsplit(one.address).hostname not in _HERE:
            message = f"the login for {one.address} crosses the network in the clear; https would keep it private"
            building.monitor.handle(Notice(message=message, level="warning"))


def private_binds(building: Building) -> tuple[Bind, ...]:
    """What shows it to a job inside the target, and with it the archives of a lock."""
    folder = building.folder / CLOSED
    return (*((Bind(source=folder, target=PRIVATE),) if folder.exists() else ()), *locked_binds(building))
