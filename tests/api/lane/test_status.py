import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.lane.status import (
    Code,
    RpcError,
    code_of_http_status,
    code_of_reset,
    decode_message,
    encode_message,
    http_status_text,
    parse_code,
)

GO_NAMES = [
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound",
    "AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted",
    "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated",
]  # fmt: skip


def test_codes_have_the_numbers_and_names_of_go() -> None:
    assert [Code(number).go_name for number in range(17)] == GO_NAMES


def test_error_prints_like_go() -> None:
    error = RpcError(Code.UNAVAILABLE, "connection refused")
    assert str(error) == "rpc error: code = Unavailable desc = connection refused"
    assert (error.details, error.trailing) == (b"", ())


@pytest.mark.parametrize(
    ("text", "code"),
    [("0", Code.OK), ("16", Code.UNAUTHENTICATED), ("05", Code.NOT_FOUND)]
    + [(text, Code.UNKNOWN) for text in ("17", "-1", "", "x", "1000", "٣", "²")],
)
def test_parse_code(text: str, code: Code) -> None:
    assert parse_code(text) is code


@pytest.mark.parametrize(
    ("message", "encoded"),
    [
        ("plain text: ok~", "plain text: ok~"),
        ("100%", "100%25"),
        ("nö\n", "n%C3%B6%0A"),
        ("→", "%E2%86%92"),
        ("a/b?c#d", "a/b?c#d"),
    ],
)
def test_message_encoding(message: str, encoded: str) -> None:
    assert encode_message(message) == encoded
    assert decode_message(encoded) == message


@given(st.text())
def test_message_round_trip(message: str) -> None:
    encoded = encode_message(message)
    assert all(" " <= char <= "~" for char in encoded)
    assert decode_message(encoded) == message.encode(errors="replace").decode()


def test_broken_escapes_are_kept() -> None:
    assert decode_message("50% of %zz %C3") == "50% of %zz �"


def test_http_and_reset_mappings() -> None:
    assert code_of_http_status(404) is Code.UNIMPLEMENTED
    assert code_of_http_status(418) is Code.UNKNOWN
    assert http_status_text(503) == "503 (Service Unavailable)"
    assert http_status_text(799) == "799"
    assert code_of_reset(7) is Code.UNAVAILABLE
    assert code_of_reset(8) is Code.CANCELLED
    assert code_of_reset(2) is Code.INTERNAL
