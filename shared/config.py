"""Configuration: one typed, frozen value, read once from `INFERQ_*` and passed to whoever needs it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from shared.memory import FORM
from shared.option import ConfigError as ConfigError
from shared.option import one_of as _one_of
from shared.option import option as _option
from shared.option import parse as _parse

PREFIX = "INFERQ_"

LARGEST_BODY = 67_108_864
"""Bytes of a request's body that follows the models; a number in `INFERQ_MAX_BODY` may be higher."""
_SMALLEST_BODY = 1_048_576
MOST_SLOTS = 256
"""Of one worker."""
_STEP = 128
_KEEP = (r"always|[0-9]{1,6}(s|m|h)", "always, or a time such as 30s, 10m or 2h")
_TOKEN_BYTES = 64
"""Bytes of JSON that a token of the prompt may take: 16 of its text, and what escapes make of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting of inferq. Field `redis_url` is the variable `INFERQ_REDIS_URL`, and so on."""

    redis_url: str = _option("redis://127.0.0.1:6379/0", "Redis or Valkey that gateways and workers share", secret=True)
    log_level: str = _option(
        "info", "`debug`, `info`, `warning` or `error`", form=_one_of("debug", "info", "warning", "error")
    )
    log_format: str = _option("text", "`text`, or `json` for one JSON object a line", form=_one_of("text", "json"))

    host: str = _option(
        "127.0.0.1", "address that the gateway listens on; with `127.0.0.1` or `localhost` on `::1` too"
    )
    port: int = _option(8000, "port that the gateway listens on; 0 takes any free one", low=0, high=65535)
    gateway_processes: int = _option(0, "processes of the gateway; 0 takes one a core", low=0, high=256)
    api_keys: str = _option(
        "",
        "keys that requests must carry: `name:key` or `key`, with commas, or `@` and the path of a file",
        secret=True,
    )
    cors_origins: str = _option(
        "",
        "origins of web pages that may use the API, with commas; `*` for all",
        form=(
            r"\*|[a-z][a-z0-9+.-]*://[^/,\s]+(, *[a-z][a-z0-9+.-]*://[^/,\s]+)*",
            "`*`, or origins such as https://chat.example,http://localhost:3000",
        ),
    )
    allowed_hosts: str = _option(
        "",
        "names, with commas, by which clients may call a gateway without keys, besides localhost and IP addresses",
        form=(r"\*|[A-Za-z0-9_.-]+(, *[A-Za-z0-9_.-]+)*", "names of hosts without ports, or `*` for all"),
    )
    trusted_proxies: str = _option(
        "", "addresses and networks of proxies, with commas, whose `X-Forwarded-For` tells where a request comes from"
    )
    client_timeout: float = _option(
        30.0,
        "seconds that a client may take to send a head or a body, or to read an answer, and one more for each 16 KiB",
        low=0.1,
    )
    max_peer_connections: int = _option(
        5000,
        "connections of one address to one process, or half of all; this machine's and trusted proxies' do not count",
        low=1,
    )
    max_key_connections: int = _option(
        5000, "connections of one API key to one process, or half of all, before further ones get 429", low=1
    )
    max_body: int = _option(
        0, "largest request body, in bytes; 0 follows the largest context that is served, 64 bytes a token", low=0
    )
    max_file_bytes: int = _option(536_870_912, "bytes of a file that is uploaded, at once or in parts", low=1)
    max_tokens: int = _option(32_768, "tokens that a request may ask for, of each choice", low=1)
    default_max_tokens: int = _option(
        4096, "tokens of each choice of a chat that asks for no number; never more than `INFERQ_MAX_TOKENS`", low=1
    )
    max_choices: int = _option(
        2048, "choices that a request may have computed: its prompts, times its `n` or `best_of`", low=1
    )
    max_messages: int = _option(2048, "messages of a chat", low=1)
    max_stops: int = _option(16, "stop strings of a request", low=1)
    max_logit_biases: int = _option(1024, "tokens in the `logit_bias` of a request", low=1)
    max_logprobs: int = _option(
        500_000,
        "log probabilities that an answer may tell: of its tokens, its prompts', and what is told beside",
        low=1,
    )
    max_queue: int = _option(1000, "jobs that may wait for one model before further ones get 429", low=1)
    max_key_jobs: int = _option(
        0, "jobs of one API key that may wait and run before its further ones get 429; 0 takes half of the queue", low=0
    )
    max_memory: int = _option(
        0, "bytes of memory that Redis may use; 0 takes its own `maxmemory`, or half of its machine's memory", low=0
    )
    max_key_bytes: int = _option(
        0,
        "bytes that jobs of one API key may hold in Redis while they wait and run; 0 takes a quarter of its memory",
        low=0,
    )
    max_followers: int = _option(
        256, "connections on which one API key may follow jobs in one process before further ones get 429", low=1
    )
    request_timeout: float = _option(600.0, "seconds that a job may wait in the queue before it fails", low=0.1)
    expected_models: str = _option(
        "", "ids of models, with commas, that requests may ask for before a worker has come; `inferq up` adds its own"
    )
    headers_after: float = _option(2.0, "seconds after which a stream's headers are sent, answer or not", low=0)
    retention: int = _option(600, "seconds that a finished job can still be read", low=1)

    archive: str = _option(
        "",
        "folder of what is stored for days, or a URL as `s3://bucket/prefix`; else that of `~/.local/share/inferq`",
    )
    archive_index: str = _option(
        "", "its index: the path of a file of SQLite, or `redis` for several machines; else a file in that folder"
    )
    archive_days: int = _option(30, "days after which an answer or a conversation goes; 0 keeps them", low=0)
    archive_bytes: int = _option(10_737_418_240, "bytes that may be stored in all", low=1)
    archive_key_bytes: int = _option(0, "bytes that may be stored of one API key; 0: a quarter of those in all", low=0)
    archive_key_things: int = _option(
        100_000, "answers, items and files that may be stored of one API key; the oldest answers make room", low=1
    )

    prefixes: str = _option(
        "", "folder of what models have read of prompts, for all workers of a machine; else that of `~/.cache/inferq`"
    )
    prefix_bytes: int = _option(8_589_934_592, "bytes that may be kept there; 0 keeps nothing", low=0)
    prefix_hours: float = _option(24.0, "hours after its last use that it goes", low=0.001)
    public_prefixes: str = _option(
        "", "values of `prompt_cache_key`, with commas, for which all API keys are one; `*` for all requests"
    )

    models: str = _option("", "models.toml to read, or a folder of models; else that of `~/.config/inferq`")
    keep: str = _option(
        "10m",
        "how long a model stays that was loaded on demand and nobody asks for: `always`, 30s, 10m, 2h",
        form=_KEEP,
    )
    max_loaded: int = _option(0, "models that are loaded on demand at once; 0: as many as fit the memory", low=0)
    residence: float = _option(5.0, "seconds that a model stays at least before it makes room for another", low=0)
    turn: float = _option(
        30.0, "seconds that requests of a model wait for room before one is asked to go that has work", low=0
    )
    load_timeout: float = _option(600.0, "seconds that a model may take to load before that is given up", low=1)
    memory: str = _option(
        "",
        "what models may take of the memory, as `4GiB`, `3000MB` or `50%`; else what the machine has free",
        form=(FORM, "a size such as 4GiB or 3000MB, or a part such as 50%"),
    )
    context: int = _option(
        0, "tokens of context; 0 takes the model's own, or what fits into the memory that is there", low=0
    )
    slots: int = _option(4, "requests that a worker computes at once", low=1, high=MOST_SLOTS)
    cores: int = _option(
        0, "cores of a worker's engine; 0 takes those that the machine has to give, in equal parts", low=0, high=1024
    )
    threads: int = _option(
        0, "threads of the engine; 0 takes as many as were measured to pay, at the first start", low=0, high=1024
    )
    batch_threads: int = _option(
        0, "threads for prompts and for several answers; 0 takes `INFERQ_THREADS`, or measures", low=0, high=1024
    )
    batch_size: int = _option(
        0,
        "prompt tokens of one step, for which other answers wait; 0 measures how many take 0.3 s",
        high=8192,
        form=("0|[89]|0*[1-9][0-9]+", "0, or at least 8"),
    )
    attention: str = _option(
        "", "llama.cpp: `flash` or `plain` attention; else as was measured", form=_one_of("flash", "plain")
    )
    speculation: str = _option(
        "", "llama.cpp: `ngram` guesses that the text goes on as before, and checks that", form=_one_of("ngram")
    )
    kv_cache: str = _option(
        "", "llama.cpp: `q8_0` remembers in 8 bits, half of the memory, which changes answers", form=_one_of("q8_0")
    )
    as_is: int = _option(
        0, "1 serves weights as their files have them, also where others would be faster here", low=0, high=1
    )
    llama_server: str = _option("", "path of a `llama-server` that computes in place of the one that comes with inferq")
    max_seconds: float = _option(
        1800.0, "seconds that one choice may take of a slot before it ends as with `max_tokens`", low=0.1
    )
    lease: float = _option(4.0, "seconds that a worker may be silent before another takes its jobs", low=1, high=60)
    grace: float = _option(10.0, "seconds that a stopping worker may spend on finishing its jobs", low=0)
    echo_rate: float = _option(0.0, "engine echo: tokens a second of each answer; 0 does not wait", low=0)
    echo_continue: int = _option(1, "engine echo: 0 plays an engine that cannot go on after a part", low=0, high=1)
    echo_prefill_ms: float = _option(0.0, "engine echo: milliseconds before the first token, or vectors", low=0)
    echo_read_rate: float = _option(0.0, "engine echo: tokens of new prompts that it reads a second; 0: at once", low=0)

    @property
    def step(self) -> int:
        """Prompt tokens that are read at once, where nothing was measured."""
        return self.batch_size or _STEP

    @property
    def most_key_jobs(self) -> int:
        """Jobs that one API key may have waiting and running, unless its entry says otherwise."""
        return self.max_key_jobs or max(1, self.max_queue // 2)

    def largest_body(self, context: int | None = None) -> int:
        """Bytes that a body may have where the largest context served has so many tokens; by default, at most."""
        if self.max_body:
            return self.max_body
        return LARGEST_BODY if context is None else min(max(context * _TOKEN_BYTES, _SMALLEST_BODY), LARGEST_BODY)

    @property
    def expected(self) -> frozenset[str]:
        """The ids in `expected_models`."""
        return frozenset(filter(None, map(str.strip, self.expected_models.split(","))))

    @property
    def usual_max_tokens(self) -> int:
        """Tokens of a chat that asks for no number."""
        return min(self.default_max_tokens, self.max_tokens)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Config:
        """Read `INFERQ_*`.

        Raises ConfigError for a variable that is not known and for a value that does not fit, naming it.
        """
        known = {PREFIX + f.name.upper(): f for f in dataclasses.fields(cls)}
        types = get_type_hints(cls)
        values: dict[str, Any] = {}
        for name, text in environ.items():
            if not name.startswith(PREFIX):
                continue
            if name not in known:
                raise ConfigError(f"{name} is not a setting of inferq; there are {', '.join(sorted(known))}")
            if text == "":
                continue
            option = known[name]
            values[option.name] = _parse(name, text, types[option.name], option.metadata)
        return cls(**values)

    def to_env(self) -> dict[str, str]:
        """The variables that give a child process this configuration."""
        return {PREFIX + f.name.upper(): str(getattr(self, f.name)) for f in dataclasses.fields(self)}
