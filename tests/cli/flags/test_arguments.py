"""Who sets a value: the command line before the environment before the default."""

import pytest

from cli.commands.tree import FLOWS
from cli.errors import UsageError
from cli.filters.tracker import FilterFlags
from cli.flags.arguments import Arguments, HelpWanted, environment_layer
from cli.flags.scan import flags_of


def arguments(*words: str, **environ: str) -> Arguments:
    read = Arguments(words, flags_of(FLOWS), (environment_layer(environ),))
    read.read()
    return read


def test_defaults() -> None:
    values = arguments()
    assert values.text("server") == "localhost:4245"
    assert values.text("output") == "compact"
    assert values.on("ip-translation")
    assert not values.on("follow")
    assert values.number("request-timeout") == 12_000_000_000
    assert values.texts("allowlist") == ()


def test_typed_beats_environment() -> None:
    assert arguments(HUBBLE_SERVER="a:1").text("server") == "a:1"
    assert arguments("--server", "b:2", HUBBLE_SERVER="a:1").text("server") == "b:2"
    assert not arguments("--tls=false", HUBBLE_TLS="true").on("tls")


@pytest.mark.parametrize(
    ("variable", "text", "flag", "value"),
    [
        ("HUBBLE_TLS", "true", "tls", True),
        ("HUBBLE_TLS", "yes", "tls", False),
        ("HUBBLE_DEBUG", "1", "debug", True),
        ("HUBBLE_REQUEST_TIMEOUT", "3s", "request-timeout", 3_000_000_000),
        ("HUBBLE_TLS_CA_CERT_FILES", "a b,c", "tls-ca-cert-files", ("a", "b,c")),
        ("HUBBLE_ALLOWLIST", '{"uuid":["a"]} {}', "allowlist", ('{"uuid":["a"]}', "{}")),
        ("HUBBLE_SERVER", "", "server", "localhost:4245"),
        ("HUBBLE_OUTPUT", "json", "output", "compact"),
    ],
)
def test_environment(
    variable: str, text: str, flag: str, value: bool | int | str | tuple[str, ...]
) -> None:
    values = arguments(**{variable: text})
    match value:
        case bool():
            assert values.on(flag) is value
        case int():
            assert values.number(flag) == value
        case str():
            assert values.text(flag) == value
        case tuple():
            assert values.texts(flag) == value


def test_bad_environment_names_the_variable() -> None:
    with pytest.raises(UsageError, match='invalid value "x" of HUBBLE_REQUEST_TIMEOUT: time:'):
        arguments(HUBBLE_REQUEST_TIMEOUT="x").number("request-timeout")


def test_lists_grow_and_single_values_are_replaced() -> None:
    values = arguments(
        "--allowlist", "{},{}", "--allowlist", "b", "--field-mask", "a,b", "--field-mask=c",
        "--last", "1", "--last", "2",
    )  # fmt: skip
    assert values.texts("allowlist") == ("{},{}", "b")
    assert values.texts("field-mask") == ("a", "b", "c")
    assert values.number("last") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--last", "x"], 'invalid argument "x" for "--last" flag: strconv.ParseUint: '),
        (["-fx"], "unknown shorthand flag: 'x' in -x"),
        (["--follow=x"], 'invalid argument "x" for "-f, --follow" flag: strconv.ParseBool: '),
        (["--timeout", "5"], 'invalid argument "5" for "--timeout" flag: time: missing unit'),
        (["--last", "\x1b"], 'invalid argument "\\x1b" for "--last" flag: '),
    ],
)
def test_bad_values(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        arguments(*words)
    assert str(caught.value).startswith(message)


def test_help_is_wanted_only_without_mistakes() -> None:
    with pytest.raises(HelpWanted):
        arguments("-h", "--last", "1")
    with pytest.raises(UsageError):
        arguments("-h", "--last", "x")


def test_filters_are_handed_on_in_order() -> None:
    seen: list[tuple[str, str]] = []
    read = Arguments(["--not", "--pod", "a", "--all", "-n", "b"], flags_of(FLOWS))
    read.read(lambda name, text: seen.append((name, text)))
    assert seen == [("not", "true"), ("pod", "a"), ("namespace", "b")]
    assert read.on("all")


def test_a_value_that_is_no_text() -> None:
    read = Arguments(["--label", "\udcff"], flags_of(FLOWS))
    with pytest.raises(UsageError, match=r'^invalid argument "\\xff" .* flag: not valid UTF-8$'):
        read.read(FilterFlags().take)


def test_reading_a_flag_as_another_type_is_a_mistake_of_the_program() -> None:
    with pytest.raises(TypeError, match="read flag --last as str"):
        arguments().text("last")
