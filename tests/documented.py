"""What the docs say of parameters; `make words` has the gateway say the same, in `/openapi.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from gateway.openapi.words import ALIAS, INERT, ONLY, PLACE
from gateway.schemas import FORMATS
from gateway.schemas.tokenizers import TokenizerFormat

DOCS = Path(__file__).parent.parent / "docs" / "api.md"


def endpoint(name: str) -> str:
    """The docs' word for a format or an endpoint, which may be a plural; Ollama's are words of others too."""
    whose, _, word = name.rpartition(".")
    return f"{whose} {word}" if whose == "ollama" else word.removesuffix("s")


APART = {
    "messages.md": ("anthropic.messages", "anthropic.count_tokens"),
    "embeddings.md": ("openai.embedding", "cohere.rerank", "tei.rerank_texts"),
    "ollama.md": ("ollama.chat", "ollama.generate", "ollama.embed", "ollama.embeddings", "ollama.pull"),
    "responses.md": ("openai.responses", "openai.input_tokens", "openai.compact"),
}
"""The formats that pages of their own describe."""
_APART = [name for names in APART.values() for name in names]
ENDPOINTS = {
    endpoint(name): wire for name, wire in FORMATS.items() if name in _APART or not isinstance(wire, TokenizerFormat)
}
PAGES = {
    DOCS: [each for each, wire in ENDPOINTS.items() if wire.name not in _APART],
    **{DOCS.with_name(page): [*map(endpoint, names)] for page, names in APART.items()},
}
"""The endpoints that each of them describes."""
TOKENIZERS = {
    "prompt": ["vllm.tokenize"],
    "content": ["llama.cpp.tokenize"],
    "messages": ["vllm.tokenize_chat"],
    "tokens": ["detokenize"],
    "query": ["vllm.tokenizer_info"],
    "chat": ["llama.cpp.input_tokens", "llama.cpp.apply_template"],
}
"""The formats of what is asked of a tokenizer, by the docs' word for them."""
_SAYING = {"Other names": ALIAS, "Ignored and told": INERT, "Not supported": ONLY}
"""How the third cell of a row is told, by the title above it."""
_AS_ABOVE = "as above"


def documented(title: str = "## Parameters") -> set[tuple[str, str, str]]:
    """(parameter, endpoint, values) of every row of the parameter tables, or of those under a title."""
    return {
        (name, each, values)
        for page, endpoints in PAGES.items()
        for names, where, values, *_ in rows(page, title)
        for name in re.findall(r"`([^`]+)`", names)
        for each in (endpoints if where == "all" else (_meant(word, endpoints) for word in where.split(", ")))
    }


def rows(page: Path, title: str) -> list[list[str]]:
    """The cells of each."""
    section = re.split(rf"\n#{{2,{title.count('#')}}} ", page.read_text("utf-8").partition(f"\n{title}\n")[2])[0]
    return [re.split(r" \| ?", row) for row in re.findall(r"^\| (`[^|]+` \| [^|`]+ \| [^|]+ \|[^|\n]*)", section, re.M)]


def words() -> list[tuple[str, str, str]]:
    """Each parameter, the formats of which it is, and what is said of it."""
    found: list[tuple[str, str, str]] = []
    for page, endpoints in PAGES.items():
        for title in ("Supported", *_SAYING):
            known = {each: [ENDPOINTS[each].name] for each in endpoints}
            table = rows(page, f"### {title}") or (rows(page, "## Parameters") if title == "Supported" else [])
            found += _said(table, title, known)
    return [*found, *_said(rows(DOCS, "## Tokenizers"), "Supported", TOKENIZERS)]


def written() -> str:
    """The same as a file has it, which Git can merge."""
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in words()) + "\n]\n"


def _said(table: list[list[str]], title: str, known: dict[str, list[str]]) -> Iterator[tuple[str, str, str]]:
    """What a table says of these endpoints."""
    above = usual = ""
    for names, where, values, *rest in table:
        values = _plain(values)
        values = above + values.removeprefix(_AS_ABOVE) if values.startswith(_AS_ABOVE) else values
        usual = _plain(rest[0]).replace(_AS_ABOVE, usual) if rest else ""
        above, text = values, _SAYING.get(title, "{}.").format(values)
        told = f" Default: {usual}." if title == "Supported" and usual not in ("", "required") else ""
        told = told.replace("Default: required", "Required")
        text = re.sub(r"^[a-z]+(?=[ ,:;])", lambda found: found[0].capitalize(), text)
        kinds = [*known] if where == "all" else where.split(", ")
        formats = " ".join(name for kind in kinds for name in known[_meant(kind, known)])
        yield from ((name, formats, text + told) for name in re.findall(r"`([^`]+)`", names))


def _meant(word: str, endpoints: Iterable[str]) -> str:
    """Which of a page's endpoints it calls so."""
    return next(each for each in endpoints if each in (word, endpoint(word)) or each.endswith(f" {word}"))


def _plain(cell: str) -> str:
    """It, without where its links lead."""
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", cell).strip(" |")


if __name__ == "__main__":
    PLACE.write_text(written(), "utf-8")
