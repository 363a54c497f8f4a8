"""The flavour ``probe`` as a Python class: every hook gives what the folder of that name holds."""

from __future__ import annotations

SOURCE = """
    from pathlib import Path

    from imagewright.api import Entry, Flavour, Packages, Parameter, Put, Script, Step, Tree, hookimpl

    FOLDER = Path({folder!r})

    def steps(phase):
        files = sorted((FOLDER / (phase + ".d")).iterdir())
        data = Tree(tuple(Entry(path=one.name, content=one.read_bytes()) for one in files if not one.name[0].isdigit()))
        return [
            Step(id=one.name, action=Script(content=one.read_bytes(), data=data))
            for one in files
            if one.name[0].isdigit()
        ]

    class Probe(Flavour):
        api_version = 1
        summary = "prints in every phase what the contract promises"
        requires = ("probe-needed",)
        parameters = (
            Parameter(name="colour", default="green", help="any word"),
            Parameter(name="token", secret=True, help="a secret"),
        )

        @hookimpl
        def block_device_size(self, ctx):
            return steps("block-device-size")

        @hookimpl
        def extra_data(self, ctx):
            return steps("extra-data")

        @hookimpl
        def pre_install(self, ctx):
            return steps("pre-install")

        @hookimpl
        def packages(self, ctx):
            return [Step(id="10-probe", action=Packages(names=("hello",)))]

        @hookimpl
        def install(self, ctx):
            entries = [Entry(path="etc/probe.d/link", kind="link", mode=0o777, target="conf")]
            for name, mode in (("etc/probe.d/conf", 0o644), ("usr/local/bin/probe", 0o755)):
                entries.append(Entry(path=name, mode=mode, source=FOLDER / "static" / name))
            put = Put(tree=Tree(tuple(entries)))
            return [Step(id="00-static-probe", action=put), *steps("install")]

        @hookimpl
        def post_install(self, ctx):
            return steps("post-install")

        @hookimpl
        def finalise(self, ctx):
            return steps("finalise")

        @hookimpl
        def cleanup(self, ctx):
            return steps("cleanup")

        @hookimpl
        def block_device(self, ctx):
            return steps("block-device")

        @hookimpl
        def first_boot(self, ctx):
            return steps("first-boot")
"""
