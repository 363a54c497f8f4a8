"""Layers that are kept: what runs again and what is found, and that a tree of found layers is the tree itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from imagewright.errors import UsageError
from imagewright.testing.kit import ImageKit

from .layers_kit import (
    SH,
    STEPS,
    age_answers,
    forget_images,
    layers,
    listed,
    notices,
    ran,
    store,
)


@pytest.fixture
def kit(image_kit: ImageKit) -> ImageKit:
    image_kit.flavour("steps", STEPS)
    return image_kit


def test_nothing_runs_where_nothing_changed(kit: ImageKit) -> None:
    first = kit.build("steps")
    assert "install/30-three" in ran(first)
    before = first.path("tar").read_bytes()
    forget_images(kit)
    second = kit.build("steps")
    assert ran(second) == []
    assert second.path("tar").read_bytes() == before
    assert second.manifest["facts"] == first.manifest["facts"]
    assert second.manifest["kernel"] == first.manifest["kernel"] == "1.0-toy"
    assert second.manifest["source_date_epoch"] == first.manifest["source_date_epoch"]


def test_a_change_runs_its_step_and_those_behind_it(kit: ImageKit) -> None:
    everything = ran(kit.build("steps"))
    kit.flavour("steps", {"install.d/word": "second"})
    # every script of a flavour sees the flavour's files, so the first of them is the first to run
    built = kit.build("steps")
    assert ran(built) == everything[everything.index("install/10-one") :]
    assert built.read("srv/three") == "second"


def test_a_changed_flavour_runs_no_step_of_those_before_it(kit: ImageKit) -> None:
    kit.flavour("later", {"install.d/50-later": SH + "echo 1 >/srv/later\n"})
    everything = ran(kit.build("steps", "later"))
    kit.flavour("later", {"install.d/50-later": SH + "echo 2 >/srv/later\n"})
    built = kit.build("steps", "later")
    assert ran(built) == everything[everything.index("install/50-later") :]
    assert built.read("srv/later") == "2\n"


def test_builds_that_share_a_beginning_share_its_layers(kit: ImageKit) -> None:
    kit.flavour("other", {"finalise.d/50-other": SH + "echo other >/srv/other\n"})
    kit.build("steps")
    built = kit.build("steps", "other")
    assert ran(built) == ["finalise/50-other", "cleanup/90-toypm"]
    assert built.read("srv/one") == "one\n"


def test_a_resumed_tree_is_the_same_as_a_fresh_one_in_everything(kit: ImageKit) -> None:
    kit.flavour(
        "hard",
        {
            "install.d/10-make": SH
            + "mkdir -p /srv/gone /srv/emptied /srv/replaced/deep\n"
            + "echo a >/srv/gone/a; echo b >/srv/emptied/b; echo c >/srv/replaced/deep/c\n"
            + "echo d >/srv/d; ln /srv/d /srv/d-too; chown 8:12 /srv/d; chmod 4750 /srv/d\n"
            + "echo e >/srv/e; chown 1000:1000 /srv/e; chmod 600 /srv/e; ln -s e /srv/link\n",
            "install.d/20-change": SH
            + "rm -r /srv/gone; rm /srv/emptied/b; rm -r /srv/replaced; mkdir -m 1777 /srv/replaced\n"
            + "echo f >/srv/replaced/f; chmod 0711 /srv; rm /srv/e; mkdir /srv/e\n",
            "install.d/30-more": SH + "echo g >>/srv/d-too; touch /srv/emptied/new\n",
        },
    )
    fresh = kit.build("hard", no_cache=True)
    kit.build("hard")
    forget_images(kit)
    resumed = kit.build("hard")
    assert ran(resumed) == []
    assert listed(resumed) == listed(fresh)
    assert not resumed.exists("srv/gone")
    assert not resumed.exists("srv/replaced/deep")


def test_attributes_and_links_of_files_outlive_the_cache(kit: ImageKit) -> None:
    kit.pack(
        "attributes-pack",
        """
        import os
        from imagewright.api import Call, Flavour, Step, hookimpl

        class Attributes(Flavour):
            summary = "sets attributes"

            @hookimpl
            def cleanup(self, ctx):
                return (Step(id="10-set", action=Call(function="attributes_pack:put")),)

        def put(ctx):
            path = ctx.target_root / "srv/capable"
            path.parent.mkdir(exist_ok=True)
            path.write_text("x")
            os.setxattr(path, "user.note", b"kept")
            os.setxattr(path, "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
        """,
        {"attributes": "Attributes"},
    )
    fresh = kit.build("attributes", no_cache=True)
    kit.build("attributes")
    forget_images(kit)
    resumed = kit.build("attributes")
    assert ran(resumed) == []
    entry = next(row for row in listed(resumed) if str(row[0]).endswith("srv/capable"))
    assert {name for name, _value in entry[8]} == {"SCHILY.xattr.user.note", "SCHILY.xattr.security.capability"}
    assert listed(resumed) == listed(fresh)


def test_after_a_failure_the_build_resumes_at_the_step_that_failed(kit: ImageKit) -> None:
    kit.flavour("bad", {"install.d/50-bad": SH + "test -e /etc/mended || { echo no; exit 3; }\n"})
    kit.fails("steps", "bad", match="exit status 3")
    kit.flavour("bad", {"install.d/50-bad": SH + "true\n"})
    assert ran(kit.build("steps", "bad")) == ["install/50-bad", "finalise/40-four", "cleanup/90-toypm"]


def test_new_extra_data_runs_the_steps_that_see_it_and_no_other(kit: ImageKit, tmp_path: Path) -> None:
    home = {"environment": {"HOME": str(tmp_path)}}
    data = tmp_path / "data"
    data.write_text("old")
    kit.flavour(
        "bringer",
        {
            "flavour.toml": 'reads = ["~/data"]\n',
            "extra-data.d/10-bring": SH + 'cp "$HOME/data" "$TMP_HOOKS_PATH/brought"\n',
            "install.d/60-take": SH + "mkdir -p /srv; cp /tmp/in_target.d/brought /srv/brought\n",
        },
    )
    kit.build("bringer", **home)
    assert ran(kit.build("bringer", **home)) == ["extra-data/10-bring"]
    data.write_text("new")
    built = kit.build("bringer", **home)
    assert ran(built) == ["extra-data/10-bring", "install/60-take", "cleanup/90-toypm"]
    assert built.read("srv/brought") == "new"
    data.chmod(0o755)
    assert "install/60-take" in ran(kit.build("bringer", **home))


def test_a_secret_decides_and_is_written_nowhere(kit: ImageKit) -> None:
    kit.flavour(
        "vault",
        {
            "flavour.toml": "[parameters.token]\nsecret = true\n",
            "install.d/60-vault": SH + 'test -n "$TOKEN"; mkdir -p /srv; echo "$TOKEN" | sha256sum >/srv/sum\n',
        },
    )
    before = kit.build("vault", settings={"vault.token": "opensesame"}).read("srv/sum")
    assert ran(kit.build("vault", settings={"vault.token": "opensesame"})) == []
    second = kit.build("vault", settings={"vault.token": "hunter2"})
    assert ran(second) == ["install/60-vault", "cleanup/90-toypm"]
    assert second.read("srv/sum") != before
    written = [path.read_text() for path in store(kit).rglob("*.json")]
    assert len(written) > 4
    assert not any(word in text for text in written for word in ("opensesame", "hunter2"))


def test_packages_are_asked_for_again_after_six_hours_and_with_refresh(kit: ImageKit) -> None:
    kit.build("steps")
    age_answers(kit, 5)
    still = kit.build("steps")
    assert ran(still) == []
    assert "asked 5 hours ago; --refresh asks them again" in notices(still)
    assert ran(kit.build("steps", refresh=True)) == ["packages/10-resolve"]
    age_answers(kit, 7)
    assert ran(kit.build("steps")) == ["packages/10-resolve"]


def test_offline_an_old_answer_is_taken_with_a_warning(kit: ImageKit) -> None:
    kit.build("steps")
    age_answers(kit, 50)
    built = kit.build("steps", offline=True)
    assert ran(built) == []
    assert "offline: the sources were asked 50 hours ago" in notices(built)


def test_another_resolution_runs_the_installation_and_what_follows(kit: ImageKit) -> None:
    everything = ran(kit.build("steps"))
    built = kit.build("steps", packages=("hello",))
    assert ran(built) == everything[everything.index("packages/10-resolve") :]


def test_without_cache_everything_runs_and_nothing_is_kept(kit: ImageKit) -> None:
    everything = ran(kit.build("steps"))
    before = {step: path.stat().st_mtime_ns for step, path in layers(kit).items()}
    assert ran(kit.build("steps", no_cache=True)) == everything
    assert {step: path.stat().st_mtime_ns for step, path in layers(kit).items()} == before


@pytest.mark.parametrize("start", ["finalise", "finalise/40-four"])
def test_from_a_phase_or_step_on_everything_runs(kit: ImageKit, start: str) -> None:
    kit.build("steps")
    assert ran(kit.build("steps", start_from=start)) == ["finalise/40-four", "cleanup/90-toypm"]
    assert ran(kit.build("steps")) == []


def test_a_step_that_is_not_there_is_refused_with_the_nearest(kit: ImageKit) -> None:
    error = kit.fails("steps", start_from="install/20-tow", kind=UsageError, match="no such step of the tree")
    assert error.cause == "did you mean install/20-two?"


def test_images_of_two_names_share_what_does_not_see_the_name(kit: ImageKit) -> None:
    kit.build("steps")
    built = kit.build("steps", output="another")
    # the toy's own scripts see it, from the first one on
    assert "root/10-busybox" in ran(built)
    assert built.read("usr/lib/os-release").count("IMAGE_ID=another") == 1


def test_the_label_of_the_disk_costs_no_step_before_finalise(kit: ImageKit) -> None:
    kit.build("steps")
    assert ran(kit.build("steps", root_label="other")) == ["finalise/40-four", "cleanup/90-toypm"]
