"""Skipped `kernel` and `e2e` tests fail the run in CI, and only those."""

from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
INI = "[pytest]\nasyncio_default_fixture_loop_scope = function\nmarkers =\n  kernel:\n  e2e:\n"


def use_conftest(pytester: pytest.Pytester, *, reason: str | None) -> None:
    """Make a project of its own with our conftest, as if `reason` kept BPF from being used."""
    source = CONFTEST.read_text().replace('pytest_plugins = ["pytester"]\n', "")
    pytester.makeconftest(f"{source}\n\ndef why_no_bpf():\n    return {reason!r}\n")
    pytester.makefile(".ini", pytest=INI)
    pytester.makepyfile(test_other="def test_other(): pass\n")


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project of its own in CI, with BPF at hand and one test that passes."""
    monkeypatch.setenv("CI", "true")
    use_conftest(pytester, reason=None)
    return pytester


@pytest.mark.parametrize(
    ("source", "exit_code", "line"),
    [
        pytest.param(
            "@pytest.mark.kernel\n@pytest.mark.skip(reason='why')\ndef test_it(): pass",
            pytest.ExitCode.TESTS_FAILED,
            "must not be skipped here: test_case.py::test_it",
            id="kernel",
        ),
        pytest.param(
            "@pytest.mark.e2e\ndef test_it(): pytest.skip('why')",
            pytest.ExitCode.TESTS_FAILED,
            "must not be skipped here: test_case.py::test_it",
            id="e2e while running",
        ),
        pytest.param(
            "pytest.skip('why', allow_module_level=True)\ndef test_it(): pass",
            pytest.ExitCode.TESTS_FAILED,
            "must not be skipped here: test_case.py",
            id="whole file",
        ),
        pytest.param(
            "@pytest.mark.skip(reason='why')\ndef test_it(): pass",
            pytest.ExitCode.OK,
            "skipped kernel and e2e tests: 0",
            id="unmarked",
        ),
        pytest.param(
            "@pytest.mark.kernel\n@pytest.mark.xfail(reason='why')\ndef test_it(): assert False",
            pytest.ExitCode.OK,
            "skipped kernel and e2e tests: 0",
            id="expected failure",
        ),
        pytest.param(
            "@pytest.mark.kernel\ndef test_it(): pass",
            pytest.ExitCode.OK,
            "skipped kernel and e2e tests: 0",
            id="passed",
        ),
    ],
)
def test_ci(inner: pytest.Pytester, source: str, exit_code: pytest.ExitCode, line: str) -> None:
    inner.makepyfile(test_case=f"import pytest\n\n{source}\n")
    result = inner.runpytest_inprocess()
    assert result.ret == exit_code
    result.stdout.fnmatch_lines([line])


def test_elsewhere_skips_are_counted(
    inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI")
    inner.makepyfile("import pytest\n@pytest.mark.kernel\ndef test_it(): pytest.skip('why')\n")
    result = inner.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["skipped kernel and e2e tests: 1"])


def test_privileged_tests_are_skipped_with_the_reason(inner: pytest.Pytester) -> None:
    use_conftest(inner, reason="needs root")
    inner.makepyfile("import pytest\n@pytest.mark.kernel\ndef test_it(): raise SystemError\n")
    result = inner.runpytest_inprocess("-rs")
    result.stdout.fnmatch_lines(["SKIPPED * needs root"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
