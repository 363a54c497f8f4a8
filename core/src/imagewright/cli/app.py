"""The commands as typer sees them: names, help and options. What they do is in :mod:`imagewright.cli.commands`.

Nothing but the standard library and typer is imported here, so that help and completion answer at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from typer.main import get_command

from imagewright.cli.options.sets import (
    BOOT,
    BOOT_SERVER,
    BUILD_IMAGES,
    CACHE_LIST,
    CACHE_PRUNE,
    CHECK_FLAVOURS,
    DISPLAY,
    DOCTOR,
    FLAVOUR_SEARCH,
    NEW_FLAVOUR,
    SHELL,
    VERIFY_SIGNATURE,
)
from imagewright.cli.programs import PROGRAMS, Program
from imagewright.cli.signatures import HELP_NAMES, Command, RunningCommand, argument, command

_BODIES = "imagewright.cli.commands"

_ORDER = """A flag is stronger than its variables, those are stronger than imagewright.toml in the current folder,
that is stronger than the user's settings file. A switch is undone by its --no- form."""


def _show_version(ctx: typer.Context, given: bool | None) -> None:
    if given:
        from imagewright import __version__

        typer.echo(f"{ctx.find_root().info_name} {__version__}")
        raise typer.Exit


_Version = Annotated[
    bool | None,
    typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
]


def _complete_flavours(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    from imagewright.cli.completion import flavours

    return flavours(incomplete, ctx.params.get("flavour_path") or ())


def _complete_images(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    from imagewright.cli.completion import images

    return images(incomplete, ctx.params.get("file") or "")


def _complete_steps(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    from imagewright.cli.completion import steps

    return steps(incomplete, ctx.params.get("cache_dir") or "")


def _typer(help: str | None = None) -> typer.Typer:  # noqa: A002
    return typer.Typer(
        help=help,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=HELP_NAMES,
    )


def _program(program: Program) -> Any:
    app = _typer()
    complete = _complete_flavours if program.argument == "flavours" else None
    named = argument(
        program.argument, program.metavar, program.argument_help, several=program.several, complete=complete
    )
    app.command(program.name, cls=Command, epilog=_ORDER, context_settings=HELP_NAMES)(
        command(program.body, program.settings, arguments=[named], version=_Version, help=program.help)
    )
    return get_command(app)


def command_of(name: str) -> Any:
    """The command of that name: one of the programs, or ``imagewright``."""
    return next((_program(program) for program in PROGRAMS if program.name == name), None) or imagewright()


def imagewright() -> Any:
    """The command ``imagewright`` with its sub-commands."""
    app = _typer("Look after the host, the flavours, the settings and the images of Imagewright.")

    @app.callback()
    def _group(version: _Version = None) -> None:
        pass

    app.command("doctor", cls=Command, context_settings=HELP_NAMES)(
        command(
            f"{_BODIES}.doctor:run",
            DOCTOR,
            help="Say what this host lacks. If something is missing, the one command that mends it is shown too.",
        )
    )
    app.command("build", cls=Command, context_settings=HELP_NAMES)(
        command(
            f"{_BODIES}.build:run",
            BUILD_IMAGES,
            arguments=[argument("file", "FILE", "Images file: what to build, as TOML.")],
            completions={"only": _complete_images},
            help="Build all images and ramdisks of a file. What they share is built once; prints what was written.",
        )
    )
    app.command("boot", cls=Command, context_settings=HELP_NAMES)(
        command(
            f"{_BODIES}.boot:run",
            BOOT,
            arguments=[argument("image", "IMAGE", "Image to boot; it is not changed.")],
            help="Boot an image and check it. It runs in QEMU, is not changed, and takes a fresh key.",
        )
    )
    app.command("boot-server", cls=Command, context_settings=HELP_NAMES)(
        command(
            f"{_BODIES}.boot_server:run",
            BOOT_SERVER,
            help="Deploy an image to machines: write it over iSCSI, serve it over HTTP, keep their reports.",
        )
    )
    app.command("shell", cls=RunningCommand, context_settings=HELP_NAMES)(
        command(
            f"{_BODIES}.shell:run",
            SHELL,
            arguments=[
                argument("step", "PHASE/NN-NAME", "Step, as `--plan` shows it.", complete=_complete_steps),
                argument(
                    "flavours",
                    "FLAVOUR...",
                    "Flavours of the image, as for its build.",
                    several=True,
                    complete=_complete_flavours,
                ),
            ],
            help="Enter the root tree of an image as it is at a step. What changes there is thrown away.",
        )
    )
    app.command("completion", cls=Command, context_settings=HELP_NAMES)(
        command(
            f"{_BODIES}.completion:run",
            DISPLAY,
            arguments=[argument("shell", "SHELL", "bash, zsh or fish; the caller's shell if left out.")],
            help='Print completion for a shell. For example: eval "$(imagewright completion bash)".',
        )
    )
    app.command("diff", cls=Command, context_settings=HELP_NAMES)(
        command(
            f"{_BODIES}.diff:run",
            DISPLAY,
            arguments=[
                argument("before", "BEFORE", "Image (qcow2, raw or tar) or manifest; it is not changed."),
                argument("after", "AFTER", "Image or manifest to compare it with."),
            ],
            help="Say what differs between two images or manifests. Exits with 0 if nothing does, with 1 if something "
            "does, with 2 if there was trouble.",
        )
    )
    app.command("verify-signature", cls=Command, context_settings=HELP_NAMES)(
        command(
            f"{_BODIES}.verify_signature:run",
            VERIFY_SIGNATURE,
            arguments=[argument("file", "FILE", "Sums, with all files that they list; or one of these files alone.")],
            help="Check that an image is the one that somebody you trust signed, and its provenance statement too.",
        )
    )
    app.add_typer(_flavours(), name="flavours")
    app.add_typer(_config(), name="config")
    app.add_typer(_cache(), name="cache")
    return get_command(app)


def _flavours() -> typer.Typer:
    group = _typer("See which flavours there are and what they do.")
    group.command("list", cls=Command, context_settings=HELP_NAMES)(
        command(
            f"{_BODIES}.flavours:list_all",
            (*FLAVOUR_SEARCH, *DISPLAY),
            help="List all flavours with the distribution that brings them.",
        )
    )
    group.command("show", cls=Command, context_settings=HELP_NAMES)(
        command(
            f"{_BODIES}.flavours:show",
            (*FLAVOUR_SEARCH, *DISPLAY),
            arguments=[argument("name", "NAME", "Name of the flavour.", complete=_complete_flavours)],
            help="Show a flavour: what it is for, its parameters, its steps and what it requires.",
        )
    )
    group.command("check", cls=Command, context_settings=HELP_NAMES)(
        command(
            f"{_BODIES}.check:run",
            CHECK_FLAVOURS,
            arguments=[
                argument(
                    "targets",
                    "PATH|NAME...",
                    "Folder of a flavour, of several, or of a pack; or a flavour's name.",
                    several=True,
                    complete=_complete_flavours,
                )
            ],
            help="Look for mistakes in flavours. Exits by the errors found; each finding has a reason and a fix.",
        )
    )
    group.command("new", cls=Command, context_settings=HELP_NAMES)(
        command(
            f"{_BODIES}.new:run",
            NEW_FLAVOUR,
            arguments=[argument("name", "NAME", "Name of the flavour.")],
            help="Make a flavour to start from. It builds as it is, and a pack has tests that pass.",
        )
    )
    return group


def _config() -> typer.Typer:
    group = _typer("See the settings.")
    group.command("show", cls=Command, context_settings=HELP_NAMES)(
        command(
            f"{_BODIES}.config:show",
            DISPLAY,
            help="Print every option with its value and where the value comes from.",
        )
    )
    return group


def _cache() -> typer.Typer:
    group = _typer("Look after the layers that builds keep.")
    group.command("list", cls=Command, context_settings=HELP_NAMES)(
        command(
            f"{_BODIES}.cache:list_all",
            CACHE_LIST,
            help="List the kept layers with their size and when they were last used.",
        )
    )
    group.command("prune", cls=Command, context_settings=HELP_NAMES)(
        command(
            f"{_BODIES}.cache:prune",
            CACHE_PRUNE,
            help="Remove layers, the longest unused first. Those that a running build uses stay.",
        )
    )
    group.command("verify", cls=Command, context_settings=HELP_NAMES)(
        command(
            f"{_BODIES}.cache:verify",
            CACHE_LIST,
            help="Read all layers and remove the damaged ones. Exits by the damage found.",
        )
    )
    return group
