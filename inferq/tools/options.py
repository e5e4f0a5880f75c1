"""What `infer`, `chat` and `repl` have in common: the flags of a model, and those of how it chooses tokens."""

from __future__ import annotations

import dataclasses
import math
import secrets
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from inferq.commands import arch_flag, configure, engine_flag, models_flag
from shared.errors import InvalidRequest
from shared.protocol import Sampling
from shared.regular_file import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.catalogue import Model
    from worker.engines import Engine

F = TypeVar("F", bound=Callable[..., Any])
MARK = "{{PROMPT}}"
"""Stands in a prompt file for what is given beside it."""
_SEEDS = 2**32 - 1
_OWN = ("lora", "draft", "rope_freq_base", "rope_freq_scale", "context", "threads")
"""Flags that override what the catalogue says of a model."""


class _Finite(click.FloatRange):
    """A finite number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number", param, ctx)
        return number


class _Biases(click.ParamType[Any]):
    name = "biases"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            pairs = [pair.split("=") for pair in value.split(",")]
            biases = tuple((int(token), float(bias)) for token, bias in pairs)
        except ValueError:
            self.fail(f"{value!r} is not of the form ID=BIAS,ID=BIAS", param, ctx)
        if any(token < 0 or not math.isfinite(bias) for token, bias in biases):
            self.fail("ids are not negative, and biases are finite numbers", param, ctx)
        return biases


class _AdapterFlag(click.ParamType[Any]):
    name = "adapter"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path, equals, scale = value.rpartition("=")
        if not equals or Path(value).is_file():  # its name may well have one
            return Path(value), 1.0
        try:
            number = float(scale)
        except ValueError:
            return Path(value), 1.0
        if not math.isfinite(number):
            self.fail(f"the scale of {path} is no finite number", param, ctx)
        return Path(path), number


_FILE = click.Path(path_type=Path)
_MODEL = (
    click.argument("family", metavar="[ARCH]", required=False),
    arch_flag,
    engine_flag,
    models_flag,
    click.option(
        "--lora", type=_AdapterFlag(), multiple=True, metavar="FILE[=SCALE]", help="a GGUF adapter; can be repeated"
    ),
    click.option("--draft", type=_FILE, metavar="FILE", help="a smaller model whose guesses the engine checks"),
    click.option("--rope-freq-base", type=_Finite(0, min_open=True), metavar="X", help="overrides the model's own"),
    click.option("--rope-freq-scale", type=_Finite(0, min_open=True), metavar="X", help="overrides the model's own"),
    click.option("--context", "--num-ctx-tokens", type=click.IntRange(1), metavar="N", help="tokens of context"),
    click.option("-t", "--threads", type=click.IntRange(1, 1024), metavar="N", help="threads of the engine"),
    click.option("--batch-size", type=click.IntRange(8, 8192), metavar="N", help="prompt tokens of a step  [128]"),
)
_SAMPLING = (
    click.option("-n", "--num-predict", type=click.IntRange(1, 2**31 - 1), metavar="N", help="at most so many tokens"),
    click.option("--seed", type=click.IntRange(0), metavar="N", help="repeats an answer  [random]"),
    click.option("--temperature", type=_Finite(0, 100), metavar="X", help="0 always takes the likeliest token"),
    click.option(
        "--top-k", type=click.IntRange(0, 2**31 - 1), metavar="N", help="of so many likeliest tokens; 0 is off"
    ),
    click.option("--top-p", type=_Finite(0, 1), metavar="X", help="of the likeliest tokens up to this probability"),
    click.option("--min-p", type=_Finite(0, 1), metavar="X", help="of tokens so likely in relation to the likeliest"),
    click.option("--typical-p", type=_Finite(0, 1), metavar="X", help="of tokens of typical probability; 1 is off"),
    click.option("--repeat-penalty", type=_Finite(0.01, 100), metavar="X", help="1 is off"),
    click.option("--presence-penalty", type=_Finite(-2, 2), metavar="X", help="0 is off"),
    click.option("--frequency-penalty", type=_Finite(-2, 2), metavar="X", help="0 is off"),
    click.option("--token-bias", type=_Biases(), metavar="ID=BIAS,...", help="is added to the logits of these tokens"),
    click.option("--stop", multiple=True, metavar="TEXT", help="ends the answer before it; can be repeated"),
    click.option("--ignore-eos", is_flag=True, help="go on where the model would stop"),
)
model_flag = click.option(
    "-m", "--model", metavar="MODEL|FILE", help="a name out of `inferq models`, a file, or hf:owner/repo"
)


def model_flags(command: F) -> F:
    return _all(_MODEL, command)


def sampling_flags(command: F) -> F:
    return _all(_SAMPLING, command)


def _all(flags: tuple[Callable[[F], F], ...], command: F) -> F:
    for flag in reversed(flags):
        command = flag(command)
    return command


@contextmanager
def load_engine(name: str, flags: dict[str, Any]) -> Iterator[Engine]:
    """The model called `name`, in its engine in a child of this process; `flags` are some of `model_flags`."""
    from inferq.inspection import inspect_model
    from inferq.tools.terminal import show_status, status
    from shared.progress import listen
    from worker import engines

    settings = {name: flags.get(name) for name in ("context", "threads", "batch_size")}
    config = configure(slots=1, max_seconds=math.inf, models=flags.get("models_toml"), **settings)
    model = _model(name, flags, config.models)
    with status(f"loading {name}"), listen(lambda step: show_status(f"loading {name}: {step}")):
        model = inspect_model(model)
        if flags.get("batch_size") and (chosen := engines.choose(model)) != "llama.cpp":
            raise InvalidRequest(f"the engine {chosen} has none; llama.cpp has", param="--batch-size")
        engine = engines.load(model, config)
    try:
        yield engine
    finally:
        engine.close()


def _model(name: str, flags: dict[str, Any], models_toml: str) -> Model:
    from inferq.tools.models import find_model

    family, arch = flags.get("family"), flags["arch"]
    if family and arch and family != arch:
        raise InvalidRequest(f"it cannot be {family} and {arch} at once", param="--arch")
    own = {name: flags.get(name) for name in _OWN}
    model = find_model(
        name,
        flags["engine"],
        architecture=family or arch or "",
        chat_format=flags.get("chat_format") or "",
        models_toml=models_toml,
    )
    changes = {key: value for key, value in own.items() if value}
    return dataclasses.replace(model, slots=1, **changes)


def sampling(flags: dict[str, Any]) -> Sampling:
    """As `sampling_flags` say; with a new seed at each call where they name none."""
    for stop in flags["stop"]:
        if not stop:
            raise InvalidRequest("an empty text would end every answer at once", param="--stop")
        check_encodable(stop, "--stop")
    seed = flags["seed"]
    return Sampling(
        seed=secrets.randbelow(_SEEDS) if seed is None else seed % _SEEDS,
        max_tokens=flags["num_predict"],
        temperature=flags["temperature"],
        top_p=flags["top_p"],
        top_k=flags["top_k"],
        min_p=flags["min_p"],
        typical_p=flags["typical_p"],
        repeat_penalty=flags["repeat_penalty"],
        presence_penalty=flags["presence_penalty"],
        frequency_penalty=flags["frequency_penalty"],
        stop=flags["stop"],
        ignore_eos=flags["ignore_eos"],
        logit_bias=flags["token_bias"] or (),
    )


def check_encodable(text: str, source: str) -> str:
    """The text, if the terminal or the shell has given one: bytes that are no UTF-8 come as halves of surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidRequest(f"not UTF-8 at character {exc.start}", param=source) from exc
    return text


def template(path: Path | None) -> str | None:
    """The text of the file that `--prompt-file` names."""
    try:
        return read_text(path) if path else None
    except UnicodeDecodeError as exc:
        raise InvalidRequest(f"{path}: not UTF-8 at byte {exc.start}", param="--prompt-file") from exc
    except OSError as exc:
        raise InvalidRequest(f"{path}: cannot be read: {exc.strerror}", param="--prompt-file") from exc
