"""The step that brings the image into the cache, as the caller on the host, and says what it found."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imagewright.api import CallContext
from imagewright.errors import HostError, ImagewrightError, StepFailed, UsageError

from imagewright_cloud_images.locating import without_login
from imagewright_cloud_images.signatures import key_of, read_sums, signer_of
from imagewright_cloud_images.store import Note, Store, digest_of_file

if TYPE_CHECKING:
    from imagewright_cloud_images.download import Downloader

SUMS = "SHA256SUMS"
NOBODY = "nobody"
"""Who signed an image that a digest, or the user's own choice of a file, vouches for."""


def fetch(
    ctx: CallContext, *, folder: str, names: str, keyring: str, digest: str, file: str, certificate: str
) -> Mapping[str, str]:
    """Bring the image into the cache; return its digest, where it came from, and who signed it.

    Either ``file`` is a path, or ``folder`` an address that holds one of ``names`` (separated by spaces, the likeliest
    first). What comes from afar has the ``digest``, or else that of a list of sums signed with a key of ``keyring``.
    Raises UsageError if no image is named; StepFailed if it cannot be had, or is not what it should be: then nothing
    of it is in the cache.
    """
    if ctx.cache is None:
        raise ImagewrightError("no-cache", "fetching an image needs a cache")
    store = Store(ctx.cache)
    if file:
        return _facts(_local(store, Path(file), digest, ctx), file, NOBODY)
    if not folder:
        raise _nothing_named(names)
    fetching = _Fetching(ctx, store, folder, tuple(names.split()), certificate)
    return fetching.by_digest(digest) if digest else fetching.signed(Path(keyring))


class _Fetching:
    """One image from one folder of a server."""

    def __init__(self, ctx: CallContext, store: Store, folder: str, names: Sequence[str], certificate: str) -> None:
        self._ctx = ctx
        self._store = store
        self._folder = folder.rstrip("/")
        self._shown = without_login(self._folder)
        self._names = names
        self._certificate = certificate

    def by_digest(self, digest: str) -> Mapping[str, str]:
        """The image that a digest names; if it is in the cache, nobody is asked."""
        if self._store.has(digest):
            self._ctx.report(f"the image {digest[:16]}… is in the cache")
            return _facts(digest, f"{self._shown}/{self._names[0]}", NOBODY)
        self._check_online(f"the image {self._shown}/{self._names[0]}")
        from imagewright_cloud_images.download import NotThere

        with self._downloader() as downloader:
            for name in self._names:
                try:
                    fetched = self._fetched(downloader, name, digest)
                except NotThere:
                    if name == self._names[-1]:
                        raise
                    continue
                if fetched:
                    break
                raise _wrong_digest(f"{self._shown}/{name}", digest)
        return _facts(digest, f"{self._shown}/{name}", NOBODY)

    def signed(self, keyring: Path) -> Mapping[str, str]:
        """The image that a signed list of sums names; the list is asked for each time, so that it is the newest."""
        keys = key_of(keyring)
        asked_for = "\n".join((self._folder, *self._names, hashlib.sha256(keys).hexdigest()))
        if self._ctx.offline:
            return self._remembered(asked_for)
        with self._downloader() as downloader:
            for attempt in (1, 2):
                sums, signer = self._sums(downloader, keys)
                name = self._named(sums)
                digest = sums[name]
                if self._store.has(digest):
                    self._ctx.report(f"{name} is as it was: {digest[:16]}…, in the cache")
                    break
                if self._fetched(downloader, name, digest):
                    break
                # the folder may have got a newer image between the two questions
                if attempt == 2 or self._sums(downloader, keys)[0].get(name) == digest:
                    raise _wrong_digest(f"{self._shown}/{name}", digest)
                self._ctx.report("the server has got a newer image meanwhile; asking again")
        note = Note(address=self._shown, name=name, digest=digest, signer=signer, asked=time.time())
        self._store.write_note(asked_for, note)
        return _facts(digest, f"{self._shown}/{name}", signer)

    def _sums(self, downloader: Downloader, keys: bytes) -> tuple[Mapping[str, str], str]:
        """The list of sums and who signed it."""
        from imagewright_cloud_images.download import NotThere

        address = f"{self._shown}/{SUMS}"
        for attempt in (1, 2):
            try:
                text = downloader.small(f"{self._folder}/{SUMS}")
                signature = downloader.small(f"{self._folder}/{SUMS}.gpg")
            except NotThere as error:
                error.cause = "the release, the folder or the server is another, or its list of sums is not signed"
                error.hint = "--cloud-images names the server, --release the release"
                raise
            try:
                signer = signer_of(text, signature, keys, address)
            except StepFailed:
                # a list that was replaced between the two questions does not fit its signature
                if attempt == 2:
                    raise
                continue
            self._ctx.report(f"{SUMS} is signed by {signer}")
            return read_sums(text, address), signer
        raise AssertionError

    def _named(self, sums: Mapping[str, str]) -> str:
        for name in self._names:
            if name in sums:
                return name
        roots = [name for name in sums if "root" in name]
        raise StepFailed(
            "image-not-listed",
            f"{self._shown}/{SUMS} has no {' and no '.join(self._names)}",
            where=tuple(f"it has: {name}" for name in (roots or list(sums))[:8]),
            hint="--base-image-file names one of them, --release another release",
        )

    def _fetched(self, downloader: Downloader, name: str, digest: str) -> bool:
        """Fetch into the cache; False if what came is something else."""
        with self._store.locked(digest):
            if self._store.has(digest):  # another build was faster
                return True
            part = self._store.part(digest)
            continued = part.exists() and part.stat().st_size > 0
            self._ctx.report(f"fetching {self._shown}/{name}" + (", continuing" if continued else ""))
            downloader.file(f"{self._folder}/{name}", part)
            if digest_of_file(part) == digest:
                self._store.keep(part, digest)
                return True
            part.unlink()
            if continued:
                self._ctx.report("the parts do not make the image; fetching it from its beginning")
                downloader.file(f"{self._folder}/{name}", part)
                if digest_of_file(part) == digest:
                    self._store.keep(part, digest)
                    return True
                part.unlink()
            return False

    def _remembered(self, asked_for: str) -> Mapping[str, str]:
        note = self._store.note(asked_for)
        if note is None or not self._store.has(note.digest):
            self._check_online(f"an image of {self._shown}")
        assert note is not None
        when = time.strftime("%Y-%m-%d", time.gmtime(note.asked))
        self._ctx.report(f"offline: taking {note.name} as it was on {when}")
        return _facts(note.digest, f"{note.address}/{note.name}", note.signer)

    def _check_online(self, what: str) -> None:
        if self._ctx.offline:
            raise HostError(
                "base-image-not-cached",
                f"{what} is not in the cache, and with --offline nothing is fetched",
                where=(f"cache: {self._ctx.cache}",),
                hint="build once without --offline, or name a file of yours: --base-image-file PATH",
            )

    def _downloader(self) -> Downloader:
        # httpx costs more to import than the rest of a plan
        from imagewright_cloud_images.download import Downloader, Patience

        return Downloader(
            environment=self._ctx.environment,
            report=self._ctx.report,
            proxies=_host_proxies(self._ctx.environment),
            certificate=self._certificate,
            patience=Patience(),
        )


def _local(store: Store, path: Path, digest: str, ctx: CallContext) -> str:
    """Bring a file of the caller's into the cache, where mapped root can read it; its digest."""
    try:
        kind = path.stat().st_mode
        if stat.S_ISCHR(kind) or stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind):  # it may have no end
            raise _unreadable(path, "it is neither a file nor a disk")
        found = digest_of_file(path)
        if digest and found != digest:
            raise StepFailed(
                "wrong-digest",
                f"the base image {path} is not the one that its digest names",
                where=(f"wanted: {digest}", f"found: {found}"),
            )
        if store.has(found):
            return found
        with store.locked(found):
            part = store.part(f"{found}.{os.getpid()}")
            try:
                shutil.copyfile(path, part)
                if digest_of_file(part) != found:
                    raise StepFailed("base-image-changes", f"the base image {path} changes while it is read")
                store.keep(part, found)
            finally:
                part.unlink(missing_ok=True)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise _unreadable(path, (error.strerror or str(error)).lower()) from error
    ctx.report(f"{path} is {found}")
    return found


def _unreadable(path: Path, why: str) -> UsageError:
    return UsageError(
        "base-image-unreadable",
        f"the base image {path} cannot be read",
        cause=why,
        hint="--base-image-file names a file or an address",
        option="base-image-file",
    )


def _host_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """The proxies of the host's apt, by scheme: what serves packages serves images."""
    from imagewright_debian.access import host_settings

    found = {}
    for line in host_settings(environment):
        name, _, value = line.partition(" ")
        if name in ("Acquire::http::Proxy", "Acquire::https::Proxy"):
            address = value.strip('";')
            if address.upper() != "DIRECT":
                found[name.split("::")[1]] = address
    return found


def _facts(digest: str, origin: str, signer: str) -> Mapping[str, str]:
    return {"base image": f"sha256:{digest}", "base image from": origin, "base image signed by": signer}


def _wrong_digest(address: str, digest: str) -> StepFailed:
    return StepFailed(
        "wrong-digest",
        f"{address} is not the image that its digest names",
        where=(f"wanted: {digest}",),
        cause="it was damaged on its way, or it is not what it should be",
        hint="nothing was kept; try again, or ask another server",
    )


def _nothing_named(names: str) -> UsageError:
    if names:
        return UsageError(
            "no-cloud-images",
            "no server of cloud images is named",
            cause="Imagewright has none built in",
            hint='--cloud-images URL, CLOUD_IMAGES=URL, or `cloud-images = "URL"` in imagewright.toml; '
            "an image that you have: --base-image-file PATH; another operating system: name it, such as `debian`",
        )
    return UsageError(
        "no-base-image",
        "no image to start from is named",
        hint="--base-image-file PATH or URL, or BASE_IMAGE_FILE in the environment",
    )
