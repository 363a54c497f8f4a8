"""Steps whose layers are found instead of run, and layers that are kept for the next build."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from imagewright.building.packages.transaction import DATED
from imagewright.building.state import Building
from imagewright.building.tree.layerkeys import LayerKeys
from imagewright.building.tree.reusing import Reusing
from imagewright.events import Monitor, Notice
from imagewright.layers.pruning import MOST, OLDEST, doomed, forget_answers, kept_layers, take_away
from imagewright.layers.reads import NAME as READS
from imagewright.layers.record import LayerRecord
from imagewright.layers.store import TREE, Answer, Store, boot, salt_of
from imagewright.plan import PlannedStep
from imagewright.sandbox.jobs import KEPT, WORK, PythonJob, kept

ASKED_AGAIN_AFTER = 6 * 3600
"""Seconds for which an answer of the world counts: which packages an archive has, say."""


class Keeping:
    """What a running build finds and keeps. A build without layers (``--no-cache``) has one that does neither."""

    def __init__(self, building: Building, store: Store | None) -> None:
        self._building = building
        self._store = store
        salt = salt_of(building.request.cache_dir / "layers") if store else b""
        self._keys = LayerKeys(building.prepared, salt)
        self._reusing = Reusing(building, store) if store else None
        self._below = ""  # the identity of the topmost layer
        self._stack: list[tuple[str, str]] | None = []  # key and identity of each layer; None if one is not kept
        self._finds = True
        self._oldest = 0.0
        self._added = False

    @classmethod
    @contextmanager
    def open(cls, building: Building) -> Iterator[Keeping]:
        """Open the folder of kept layers; at the end, wait for the disk and let go of them."""
        if building.kept is None or building.request.no_cache:
            yield cls(building, None)
            return

        def trouble(sentence: str) -> None:
            building.monitor.handle(Notice(message=sentence, level="warning"))

        store = Store(building.kept, trouble)
        if _device(building.kept) != _device(building.folder):
            store.give_up(
                f"layers are found but not kept: the work folder {building.folder.parent} and the cache "
                f"{building.request.cache_dir} are on different filesystems"
            )
        building.closing.callback(store.close)
        keeping = cls(building, store)
        try:
            yield keeping
        except Exception:
            store.settle()
            raise
        store.settle()
        tell_of_age(building.monitor, keeping._oldest)
        if building.layers[-1].startswith(kept("")):
            building.top = keeping._below
        keeping._leave_room()

    def begin(self, planned: PlannedStep) -> None:
        """Look for nothing any more if ``--from`` names this step or its phase."""
        if self._building.request.start_from in (planned.phase.value, planned.name):
            self._finds = False

    def step(self, planned: PlannedStep, name: str, run: Callable[[], None]) -> bool:
        """Find the layer of a step, or run it and keep the folder ``name`` of the work folder's layers.

        Whether it was found. The layer is on the building's stack afterwards: ``run`` puts it there.
        """
        key = self._key(planned)
        if self._store is None or key is None:
            self._run(planned, name, run, None)
            return False
        with self._store.making(key, self._wait):
            if self._take(key) or self._take_over(planned, name, key):
                return True
            self._run(planned, name, run, lambda: key)
        return False

    def asking_step(self, planned: PlannedStep, name: str, run: Callable[[], None]) -> bool:
        """The same for a step that asks the world and records the answer as facts; a young answer is taken instead."""
        if self._store is None:
            self._run(planned, name, run, None)
            return False
        question = self._keys.question(planned, self._below)
        with self._store.making(question, self._wait):
            answer = self._young(question)
            if answer is not None:
                with self._known(answer):
                    key = self._key(planned)
                if key is not None and self._take(key):
                    self._learn(answer)
                    return True
            before = dict(self._building.facts)
            self._run(planned, name, run, lambda: self._key(planned), again=True)
            found = {fact: value for fact, value in self._building.facts.items() if before.get(fact) != value}
            self._store.remember(question, found)
        return False

    def ask(self, planned: PlannedStep, ask: Callable[[], dict[str, str]]) -> None:
        """Know the facts that a question answers, by an answer that is young enough or by asking."""
        if self._store is None:
            facts = ask()
        else:
            question = self._keys.question(planned, self._below)
            with self._store.making(question, self._wait):
                answer = self._young(question)
                if answer is not None:
                    self._learn(answer)
                    return
                facts = ask()
                self._store.remember(question, facts)
        for fact, value in facts.items():
            self._building.fact(fact, value)

    # -- inner parts

    def _key(self, planned: PlannedStep) -> str | None:
        return self._keys.layer(planned, self._building.facts, self._building.epoch)

    def _young(self, question: str) -> Answer | None:
        request = self._building.request
        answer = self._store.answer(question) if self._store and self._finds and not request.refresh else None
        return answer if answer and (answer.age <= ASKED_AGAIN_AFTER or request.offline) else None

    @contextmanager
    def _known(self, answer: Answer) -> Iterator[None]:
        """The building as it would be with the answer's facts; as it was afterwards."""
        facts, epoch = dict(self._building.facts), self._building.epoch
        self._building.facts |= answer.facts
        self._building.epoch = self._epoch_of(answer)
        yield
        self._building.facts, self._building.epoch = facts, epoch

    def _learn(self, answer: Answer) -> None:
        self._oldest = max(self._oldest, answer.age)
        self._building.epoch = self._epoch_of(answer)
        for fact, value in answer.facts.items():
            if self._building.facts.get(fact) != value:
                self._building.fact(fact, value)

    def _epoch_of(self, answer: Answer) -> int:
        text = answer.facts.get(DATED, "")
        return int(text) if text.isdecimal() and not self._building.epoch_fixed else self._building.epoch

    def _take(self, key: str, answered: Mapping[str, str] = MappingProxyType({})) -> bool:
        """Put the layer of that key on the stack, if there is one for the stack as it is, made on the same answers."""
        found = self._store.find(key, self._below, self._sound) if self._store and self._finds else None
        if found is None or any(found.facts.get(fact, value) != value for fact, value in answered.items()):
            return False
        self._building.layers.append(kept(key))
        self._stand_on(found)
        return True

    def _stand_on(self, found: LayerRecord) -> None:
        """Know what a layer says that was found, now that it is the topmost one."""
        building = self._building
        self._below = found.identity
        if self._stack is not None:
            self._stack.append((found.key, found.identity))
        for fact, value in found.facts.items():
            if building.facts.get(fact) != value:
                building.fact(fact, value)
        building.kernel = found.kernel
        if not building.epoch_fixed:
            building.epoch = found.epoch

    def _take_over(self, planned: PlannedStep, name: str, key: str) -> bool:
        """Put what the step left on other layers on the stack, under this key, if nothing that it read has changed."""
        store, question = self._store, self._apart(planned)
        if not self._finds or store is None or not store.keeps or question is None or self._stack is None:
            return False
        found = self._reusing.take(question, self._stack, name) if self._reusing else None
        if found is None:
            return False
        made, reads = found
        made = replace(
            made,
            key=key,
            identity=secrets.token_hex(16),
            parent=self._below,
            made=time.time(),
            boot=boot(),
            distribution=_distribution(planned),
        )
        self._building.layers.append(f"{name}/{TREE}")
        with suppress(OSError):
            reads.write(self._building.folder / "layers" / name / READS)
        self._keep(made, name)
        self._stand_on(made)
        return True

    def _apart(self, planned: PlannedStep) -> str | None:
        building = self._building
        if not planned.step.keep:
            return None
        return self._keys.apart(planned, building.facts, building.epoch, building.kernel)

    def _keep(self, made: LayerRecord, name: str) -> None:
        """Move the topmost layer from the work folder to its place, if layers are kept."""
        layer = self._building.folder / "layers" / name
        self._added = True
        if self._store and self._store.keep(layer, made, layer.with_name(f"stale-{made.identity}")):
            self._building.layers[-1] = kept(made.key)
        else:
            self._stack = None

    def _sound(self, found: LayerRecord) -> bool:
        if self._look("light", f"{KEPT}/{found.key}/{TREE}") == found.light:
            return True
        message = f"the kept layer of {found.step} is damaged; the step runs again"
        self._building.monitor.handle(Notice(message=message, level="warning"))
        return False

    def _run(
        self,
        planned: PlannedStep,
        name: str,
        run: Callable[[], None],
        key: Callable[[], str | None] | None,
        *,
        again: bool = False,
    ) -> None:
        building = self._building
        before, count = dict(building.facts), len(building.layers)
        question = self._apart(planned)
        run()
        if len(building.layers) == count:
            return
        parent = self._below
        known = key() if key else None
        if again and known is not None:
            # the same answer as before: what was made on the layer of then is still good
            fresh = building.layers.pop()
            if self._take(known, {fact: value for fact, value in building.facts.items() if before.get(fact) != value}):
                return
            building.layers.append(fresh)
        self._below = secrets.token_hex(16)
        below, self._stack = self._stack, None
        if known is None or self._store is None or not self._store.keeps:
            return
        described = self._look("described", f"{WORK}/layers/{name}/{TREE}")
        if not isinstance(described, dict):
            return
        made = LayerRecord(
            key=known,
            identity=self._below,
            parent=parent,
            step=planned.name,
            flavour=planned.origin.flavour,
            distribution=_distribution(planned),
            facts={fact: value for fact, value in building.facts.items() if before.get(fact) != value},
            epoch=building.epoch,
            kernel=building.kernel,
            made=time.time(),
            boot=boot(),
            **described,
        )
        if question is not None and below is not None and self._reusing is not None:
            self._reusing.write(question, below, building.folder / "layers" / name)
        self._stack = None if below is None else [*below, (known, self._below)]
        self._keep(made, name)

    def _look(self, function: str, path: str) -> object:
        job = PythonJob(function=f"imagewright.layers.content:{function}", arguments={"path": path})
        return self._building.sandbox.call(job, self._building.output)

    def _wait(self) -> None:
        message = "another build makes the same layer; waiting for it"
        self._building.monitor.handle(Notice(message=message))

    def _leave_room(self) -> None:
        """Let the layers go that nobody used for long, and those that are too many, if any were added."""
        if self._added and self._store:
            folder, aside = self._store.folder, self._building.folder / "pruned"
            with suppress(OSError):
                aside.mkdir()
                take_away(doomed(kept_layers(folder), most=MOST, oldest=OLDEST), aside)
                forget_answers(folder, OLDEST)


def tell_of_age(monitor: Monitor, oldest: float) -> None:
    """Say how old the oldest answer is that a build took, in seconds; 0 for none."""
    if oldest > ASKED_AGAIN_AFTER:
        message = f"offline: the sources were asked {told_age(oldest)} ago"
        monitor.handle(Notice(message=message, level="warning"))
    elif oldest:
        message = f"the sources were asked {told_age(oldest)} ago; --refresh asks them again"
        monitor.handle(Notice(message=message))


def told_age(seconds: float) -> str:
    """An age in words; an answer from the future has one without end."""
    if seconds == float("inf"):
        return "an unknown time"
    minutes = int(seconds) // 60
    if minutes < 2:
        return "a minute"
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"


def _distribution(planned: PlannedStep) -> str:
    return f"{planned.origin.distribution} {planned.origin.version}".strip()


def _device(path: Path) -> int:
    return os.stat(path).st_dev
