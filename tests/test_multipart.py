"""Forms are read the same wherever their pieces end, and refused for what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from gateway.multipart import LARGEST_PART_HEAD, MOST_PARTS, UNKNOWN, PartHead, parse_boundary, read_parts
from gateway.schemas.files import base_name, content_headers, read_range
from shared.errors import InvalidRequest

BOUNDARY = b"bound"
FORM = (
    b"before\r\n--bound \t\r\n"
    b'content-disposition: form-data; name="a"; filename="x"; filename*=UTF-8\'\'%e2%82%ac.txt\r\n'
    b"Content-type: Text/Plain; charset=x\r\n\r\n"
    b"he\r\n--boun\r\n\r\n--llo\r\r\n"
    b"--bound\r\nContent-Disposition: form-data; name=b\r\n\r\n\r\n--bound--\r\nafter"
)
PARTS = [
    (PartHead("a", "€.txt", "text/plain"), b"he\r\n--boun\r\n\r\n--llo\r"),
    (PartHead("b", None, UNKNOWN), b""),
]


def read(pieces: Iterable[bytes]) -> list[tuple[PartHead, bytes]]:
    found: list[tuple[PartHead, bytes]] = []
    for event in read_parts(pieces, BOUNDARY):
        if isinstance(event, PartHead):
            found.append((event, b""))
        else:
            found[-1] = (found[-1][0], found[-1][1] + event)
    return found


def test_wherever_its_pieces_end_a_form_is_the_same() -> None:
    for first in range(1, len(FORM)):
        for second in range(first + 1, len(FORM), 3):
            assert read([FORM[:first], FORM[first:second], FORM[second:]]) == PARTS, (first, second)


def part(head: bytes = b'Content-Disposition: form-data; name="a"', body: bytes = b"x") -> bytes:
    return b"--bound\r\n" + head + b"\r\n\r\n" + body + b"\r\n"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "ends before"),
        (b"x" * (LARGEST_PART_HEAD + 1), "does not begin with its boundary"),
        (part(), "ends before"),
        (part()[:-30], "ends before"),
        (b"--boundary\r\n", "alone in its line"),
        (part(b"A: " + b"b" * LARGEST_PART_HEAD), "the head of a part has more"),
        (part() * (MOST_PARTS + 1) + b"--bound--", f"more than {MOST_PARTS} parts"),
        (part(b"Content-Type: text/plain"), "no header `Content-Disposition"),
        (part(b"Content-Disposition: attachment; name=a"), "no header `Content-Disposition"),
        (part(b'Content-Disposition: form-data; filename="a"'), "no header `Content-Disposition"),
        (part(b'Content-Disposition: form-data; name="\xff"'), "not UTF-8"),
        (part(b"Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64"), "as it is"),
        (part() + b"--bound--" + b"x" * (LARGEST_PART_HEAD + 1), "follow its end"),
    ],
)
def test_a_bad_form_is_refused(body: bytes, words: str) -> None:
    for pieces in ([body], [body[at : at + 100] for at in range(0, len(body), 100)]):
        with pytest.raises(InvalidRequest, match=words):
            read(pieces)


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "multipart/form-data", "multipart/form-data; boundary=" + "x" * 71,
     'multipart/form-data; boundary="a\x01"', 'multipart/form-data; boundary="a "', "multipart/mixed; boundary=a"],
)  # fmt: skip
def test_what_names_no_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_boundary(content_type)


def test_boundaries_of_clients() -> None:
    assert parse_boundary("multipart/form-data; boundary=----WebKitFormBoundaryA1") == b"----WebKitFormBoundaryA1"
    assert parse_boundary('Multipart/Form-Data; charset=utf-8; boundary="a b\'()+_,-./:=?"') == b"a b'()+_,-./:=?"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("a b.txt", "a b.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\fakepath\\ü.pdf", "ü.pdf"),
        ("a/", "file"),
        ("..", "file"),
        ("\r\n\x00", "file"),
        ("x\r\ny\u2028.txt", "xy.txt"),
        ("👩‍💻 naïve 日本.md", "👩‍💻 naïve 日本.md"),
    ],
)
def test_names_of_files_are_no_paths(given: str, name: str) -> None:
    assert base_name(given) == name


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", None),
        ("bytes=0-", range(10)),
        ("bytes=2-4", range(2, 5)),
        ("bytes=2-99", range(2, 10)),
        ("bytes=-3", range(7, 10)),
        ("bytes=-99", range(10)),
        ("bytes=10-", range(10, 10)),
        ("bytes=-", None),
        ("bytes=0-1,4-5", None),
        ("lines=0-1", None),
        ("bytes=" + "9" * 5000 + "-", None),
    ],
)
def test_ranges(header: str, found: range | None) -> None:
    assert read_range(header, 10) == found


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/xhtml+xml", "text/xml", "text/javascript"])
def test_what_a_browser_runs_is_not_sent_as_such(kind: str) -> None:
    assert content_headers("a", kind)["Content-Type"] == "application/octet-stream"
    assert content_headers("a", "application/jsonl")["Content-Type"] == "application/jsonl"


def test_a_name_in_a_header_is_ascii_and_whole_in_another_form() -> None:
    told = content_headers('a";é\\\n.txt', "text/plain")["Content-Disposition"]
    assert told == "attachment; filename=\"a_;___.txt\"; filename*=UTF-8''a%22%3B%C3%A9%5C%0A.txt"
