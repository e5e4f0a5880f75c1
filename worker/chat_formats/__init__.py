"""Chat formats: how a conversation becomes the prompt of a model whose file does not say.

Each is a Jinja template beside this module, with the variables that Hugging Face's templates have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from shared.config import ConfigError
from shared.errors import InvalidRequest
from shared.regular_file import find, read_text

_STOPS = {
    "chatml": ("<|im_end|>",),
    "alpaca": ("### Instruction:",),
    "vicuna": ("USER:",),
    "llama-2": ("[INST]",),
    "gpt4all-j": ("### Prompt:", "### Instruction:"),
    "plain": ("\nUser:", "\nSystem:"),
}
NAMES = tuple(_STOPS)
LARGEST_TEMPLATE = 1 << 20
"""Of a template's file."""


def template(name: str) -> str:
    """The Jinja source of the format with that name, or in the file at that path. Raises ConfigError."""
    if name in _STOPS:
        return (resources.files(__name__) / f"{name}.jinja").read_text()
    try:
        source = read_text(find(name), LARGEST_TEMPLATE)
        _environment().from_string(source)
        return source
    except FileNotFoundError:
        names = ", ".join(NAMES)
        raise ConfigError(f"{name!r} is no chat format; there are {names}, or give the path of a Jinja file") from None
    except OSError as exc:
        raise ConfigError(f"the chat format {name}: cannot be read: {exc.strerror}") from exc
    except (ValueError, TemplateError, RecursionError) as exc:
        raise ConfigError(f"the chat format {name}: {exc}") from exc


def stops(name: str) -> tuple[str, ...]:
    """What begins the next turn in the format with that name, and so ends an answer."""
    return _STOPS.get(name, ())


def render(source: str, messages: Sequence[Mapping[str, Any]], bos: str, eos: str, *, opens: bool = True) -> str:
    """The prompt for the next answer to messages in OpenAI's terms, or just what these are where it `opens` none.

    Raises InvalidRequest where the template refuses the conversation.
    """
    names = {"bos_token": bos, "eos_token": eos, "add_generation_prompt": opens, "raise_exception": _refuse}
    try:
        return _environment().from_string(source).render(messages=messages, **names)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as exc:
        raise InvalidRequest(
            f"the model's chat format does not take this conversation: {exc}", param="messages"
        ) from exc


def _environment() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, autoescape=False)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
