"""Frozen slotted keyword-only dataclasses for the modules that a short command imports.

``dataclasses`` makes the same, but importing it, and the methods that it writes and compiles for each class, take
longer than all that ``disk-image-get-kernel`` does to its image before it copies. So what lies on the way of that
command is a ``@record``, all else a ``@dataclass(frozen=True, slots=True, kw_only=True)``. A type checker sees no
difference.
"""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar, dataclass_transform

_Class = TypeVar("_Class", bound=type)
_Record = TypeVar("_Record")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def record(cls: _Class) -> _Class:
    """Make a dataclass of what the class declares: frozen, slotted, keyword-only, equal by its values.

    Defaults are values that do not change: there are no factories. It has no base with fields, and its methods do not
    call ``super()``, since the class is made anew with its slots, as by ``dataclasses``.
    """
    names = tuple(cls.__annotations__)
    defaults = {name: value for name, value in vars(cls).items() if name in names}
    kept = {
        name: value
        for name, value in vars(cls).items()
        if name not in defaults and name not in ("__dict__", "__weakref__")
    }
    made: Any = type(cls)(cls.__name__, cls.__bases__, {**_METHODS, **kept, "__slots__": names})
    made.__qualname__ = cls.__qualname__
    # what puts a value into its slot although the record is frozen
    puts = {name: getattr(made, name).__set__ for name in names}

    def init(self: object, **given: Any) -> None:
        values = {**defaults, **given}
        if values.keys() != puts.keys():
            wrong = ", ".join(sorted(values.keys() ^ puts.keys()))
            raise TypeError(f"{cls.__qualname__} is given too much or too little: {wrong}")
        for name, put in puts.items():
            put(self, values[name])

    made.__init__ = init
    return made  # type: ignore[no-any-return]


def changed(one: _Record, **values: Any) -> _Record:
    """The same record with other values for some names. Raises TypeError for names that it has not."""
    return type(one)(**{**_values(one), **values})


def _values(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__slots__}


def _repr(self: Any) -> str:
    return f"{type(self).__qualname__}({', '.join(f'{name}={value!r}' for name, value in _values(self).items())})"


def _eq(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(tuple(_values(self).values()))


def _set(self: Any, name: str, value: object) -> NoReturn:
    raise AttributeError(f"{type(self).__name__} is frozen: {name} stays as it is")


def _delete(self: Any, name: str) -> NoReturn:
    _set(self, name, None)


def _reduce(self: Any) -> tuple[Any, ...]:
    return _again, (type(self), _values(self))


def _again(cls: type[_Record], values: dict[str, Any]) -> _Record:
    return cls(**values)


_METHODS = {
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _set,
    "__delattr__": _delete,
    "__reduce__": _reduce,
}
