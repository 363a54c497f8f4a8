"""Makes typer commands from the table of options: the only place where an option becomes a parameter.

Typer parses and prints help; every value is a plain text until :mod:`imagewright.cli.options.resolve` converts it, so
that a flag, a variable and a file are judged by the same rules.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from imagewright.cli.options.kinds import Kind
from imagewright.cli.options.setting import Setting
from imagewright.cli.screen import Screen

HELP_NAMES = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
"""Context settings of every command."""


_BEHIND = "imagewright.behind"  # a key of typer's own notes on a command line
_KEYWORD = inspect.Parameter.KEYWORD_ONLY


class Command(TyperCommand):
    """A command whose help groups its options and shows one line of names for each."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then options by group, in the order of the table."""
        groups: dict[str, list[tuple[str, str]]] = {}
        parameter: Any
        for parameter in self.get_params(ctx):
            if parameter.param_type_name == "argument":
                groups.setdefault("Arguments", []).append((parameter.make_metavar(ctx), parameter.help or ""))
            elif not parameter.hidden:
                group = getattr(parameter, "rich_help_panel", None) or "Options"
                groups.setdefault(group, []).append((_names(parameter), parameter.help or ""))
        for group, rows in groups.items():
            with formatter.section(group):
                formatter.write_dl(rows, col_max=28)


class RunningCommand(Command):
    """A command that runs another one: the words behind ``--`` are its, and the body's argument ``argv``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put those words aside and parse the others."""
        end = args.index("--") if "--" in args else len(args)
        ctx.meta[_BEHIND] = tuple(args[end + 1 :])
        return super().parse_args(ctx, args[:end])

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Show that there may be a command."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


def _names(parameter: Any) -> str:
    short = [option for option in parameter.opts if not option.startswith("--")]
    long = [option for option in parameter.opts if option.startswith("--")]
    names = ", ".join(short + long) if short else "    " + ", ".join(long)
    takes_value = not parameter.is_flag and not parameter.count
    return f"{names} {parameter.metavar}" if takes_value and parameter.metavar else names


def explained(setting: Setting, default: object) -> str:
    """The help of an option with its variables and its default."""
    shown = setting.shown
    if not shown and default not in (None, "", (), False):
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    notes = [f"env: {', '.join(setting.variables)}"]
    if shown:
        notes.insert(0, f"default: {shown}")
    return f"{setting.help} [{'; '.join(notes)}]"


def command(
    body: str,
    settings: Sequence[Setting] = (),
    *,
    arguments: Sequence[inspect.Parameter] = (),
    defaults: Mapping[str, Any] | None = None,
    version: Any = None,
    completions: Mapping[str, Callable[..., Any]] | None = None,
    help: str,  # noqa: A002 - typer reads it from the docstring of the function
) -> Callable[..., None]:
    """A function for typer that resolves ``settings`` and calls ``body``, ``module:function``, which is imported then.

    ``body`` takes one :class:`~imagewright.cli.invocation.Invocation`. ``version`` is the type of ``--version``.
    ``completions`` completes values of options by their names.
    """
    replaced = dict(defaults or {})

    def call(ctx: typer.Context, **given: Any) -> None:
        # help needs none of it, and shows at once
        from imagewright.cli import invoking

        flags = {
            setting.name: given[setting.parameter]
            for setting in settings
            if getattr(ctx.get_parameter_source(setting.parameter), "name", "") == "COMMANDLINE"
        }
        invoking.invoke(
            body,
            settings,
            program=ctx.command_path,
            flags=flags,
            arguments={item.name: given[item.name] for item in arguments}
            | ({"argv": ctx.meta[_BEHIND]} if _BEHIND in ctx.meta else {}),
            screen=ctx.obj if isinstance(ctx.obj, Screen) else Screen(),
            defaults=replaced,
        )

    parameters = [
        inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context),
        *arguments,
        *([inspect.Parameter("version", _KEYWORD, default=None, annotation=version)] if version else []),
        *(
            _option(setting, replaced.get(setting.name, setting.default), (completions or {}).get(setting.name))
            for setting in settings
        ),
    ]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__doc__ = help
    return call


def _option(setting: Setting, default: object, complete: Callable[..., Any] | None) -> inspect.Parameter:
    kind: Any = {Kind.SWITCH: bool, Kind.ONE: str}.get(setting.kind, list[str])
    flag = f"{setting.flag}/{setting.negative}" if setting.kind is Kind.SWITCH else setting.flag
    option = typer.Option(
        *([setting.short] if setting.short else []),
        flag,
        metavar=setting.metavar or None,
        envvar=list(setting.variables),
        help=explained(setting, default),
        autocompletion=complete,
        show_envvar=False,
        show_default=False,
        rich_help_panel=setting.group,
    )
    return inspect.Parameter(
        setting.parameter,
        _KEYWORD,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def argument(
    name: str,
    metavar: str,
    help: str,  # noqa: A002
    *,
    several: bool = False,
    complete: Callable[..., Any] | None = None,
) -> inspect.Parameter:
    """A positional argument; one that is missing is None, so that the body can say what to do."""
    kind: Any = list[str] if several else str
    return inspect.Parameter(
        name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=None,
        annotation=Annotated[
            kind | None,
            typer.Argument(metavar=metavar, help=help, autocompletion=complete, show_default=False),
        ],
    )
