from __future__ import annotations

import pytest
from imagewright.errors import UsageError

TOML = """
[parameters.port]
type = "integer"
default = 80
help = "where it listens"
[parameters.use-tls]
type = "boolean"
[parameters.key]
type = "path"
[parameters.user]
"""


@pytest.fixture
def web(shelf):
    shelf.system()
    shelf.flavour("my-web", TOML)
    return shelf


def value(shelf, name, *, environment=None, settings=()):
    return shelf.prepare("my-web", environment=environment or {}, settings=settings).parameters["my-web"][name]


def test_a_setting_beats_the_prefixed_variable_beats_the_plain_one_beats_the_default(web):
    environment = {"PORT": "2"}
    assert value(web, "port") == 80
    assert value(web, "port", environment=environment) == 2
    environment["IMAGEWRIGHT_MY_WEB_PORT"] = "3"
    assert value(web, "port", environment=environment) == 3
    assert value(web, "port", environment=environment, settings=(("my-web", "port", "4"),)) == 4


def test_an_empty_variable_is_unset(web):
    assert value(web, "port", environment={"PORT": ""}) == 80


@pytest.mark.parametrize("word", ["true", "YES", "on", "1"])
def test_words_for_true(web, word):
    assert value(web, "use-tls", environment={"USE_TLS": word}) is True


@pytest.mark.parametrize("word", ["false", "No", "off", "0"])
def test_words_for_false(web, word):
    assert value(web, "use-tls", environment={"USE_TLS": word}) is False


def test_a_path_is_absolute_and_knows_the_callers_home(web):
    environment = {"HOME": "/home/me"}
    assert value(web, "key", environment=environment, settings=(("my-web", "key", "~/key"),)) == "/home/me/key"
    assert value(web, "key", settings=(("my-web", "key", "key"),)).startswith("/")


def test_the_callers_login_never_sets_a_parameter_called_user(web):
    assert value(web, "user", environment={"USER": "root"}) is None
    assert value(web, "user", environment={"IMAGEWRIGHT_MY_WEB_USER": "me"}) == "me"


def test_underscores_in_a_setting_mean_dashes(web):
    assert value(web, "use-tls", settings=(("my-web", "use_tls", "on"),)) is True


@pytest.mark.parametrize(
    ("settings", "environment", "message"),
    [
        ((("my-web", "port", "x"),), {}, "`--set my-web.port`: `x` is not an integer\ncause: where it listens"),
        ((), {"PORT": "x"}, "`PORT`: `x` is not an integer\ncause: where it listens"),
        ((), {"IMAGEWRIGHT_MY_WEB_USE_TLS": "maybe"}, "`IMAGEWRIGHT_MY_WEB_USE_TLS`: `maybe` is not true or false"),
        (
            (("my-web", "prot", "1"),),
            {},
            "flavour `my-web` has no parameter `prot`\nhint: did you mean `my-web.port`?",
        ),
        (
            (("web", "port", "1"),),
            {},
            "`--set web.port` sets a parameter of a flavour that is not in this build\nhint: did you mean `my-web`?",
        ),
        (
            (("system", "port", "1"),),
            {},
            "flavour `system` has no parameter `port`\nhint: flavour `system` has no parameters",
        ),
    ],
)
def test_a_wrong_value_names_where_it_came_from(web, settings, environment, message):
    with pytest.raises(UsageError) as caught:
        web.prepare("my-web", settings=settings, environment=environment)
    assert str(caught.value) == message


def test_a_required_parameter_without_a_value_shows_both_ways_to_give_it(shelf):
    shelf.system()
    shelf.flavour("agent", '[parameters.server]\nrequired = true\nhelp = "who is the master"')
    with pytest.raises(UsageError) as caught:
        shelf.prepare("agent")
    assert str(caught.value) == (
        "flavour `agent` needs a value for its parameter `server`\n"
        "cause: who is the master\n"
        "hint: --set agent.server=VALUE, or SERVER=VALUE in the environment"
    )


def test_a_wrong_secret_is_not_shown(shelf):
    shelf.system()
    shelf.flavour("agent", '[parameters.key]\ntype = "path"\nsecret = true')
    with pytest.raises(UsageError) as caught:
        shelf.prepare("agent", settings=(("agent", "key", "a\nb"),))
    assert str(caught.value) == "`--set agent.key`: the value is not a path on one line"
