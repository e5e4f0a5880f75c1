"""`inferq batch`: a file of requests, answered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from inferq.commands import arch_flag, chat_format_flag, engine_flag, models_flag, setting
from inferq.terminal import echo
from inferq.tools.flags import json_flag
from inferq.tools.options import model_flag
from inferq.tools.output import check_free, create
from inferq.tools.source import gateway_flags
from shared.errors import InferqError, InvalidRequest

if TYPE_CHECKING:
    from inferq.batches.client import BatchClient
    from inferq.batches.errand import Errand
    from inferq.batches.requests import RequestFile

_FILE = click.Path(path_type=Path)


@click.group()
def batch() -> None:
    """Have a file of requests answered, at a running gateway or without one."""


@batch.command()
@click.argument("file", metavar="FILE.jsonl", type=_FILE)
@click.option("-o", "--output", required=True, type=_FILE, metavar="OUT.jsonl", help="where the results go")
@click.option("--errors", type=_FILE, metavar="FILE", help="where those go that failed; by default among the others")
@click.option("--force", is_flag=True, help="overwrite these files")
@click.option(
    "--window", metavar="W", help="hours or days after which it expires: 24h, 7d  [24h; 7d without a gateway]"
)
@gateway_flags
@model_flag
@setting("slots")
@setting("threads")
@engine_flag
@arch_flag
@chat_format_flag
@models_flag
def run(
    file: Path,
    output: Path,
    errors: Path | None,
    force: bool,
    window: str | None,
    url: str | None,
    api_key: str | None,
    model: str | None,
    **flags: Any,
) -> None:
    """Answer all requests of a file.

    Each line of FILE.jsonl is a request as OpenAI's batches have it: an object with `custom_id`, `method` (POST), `url`
    and `body`. The results come in the same order. With --url a running gateway answers; without, all that it takes is
    started for the model -m, or for that of the first request, and ended.

    It ends with status 0 when all were answered, 1 when some were not, and 2 when FILE.jsonl cannot be used. Who runs
    it again after Ctrl-C goes on where it was.
    """
    from inferq.batches.errand import Errand, hold
    from inferq.batches.requests import RequestFile
    from inferq.batches.results import sort
    from inferq.tools.terminal import exit_quietly

    given = {"FILE": file, "-o": output, **({"--errors": errors} if errors else {})}
    if len({path.resolve() for path in given.values()}) < len(given):
        raise InvalidRequest("each of them is a file of its own", param=", ".join(given))
    for param, target in list(given.items())[1:]:
        check_free(target, force=force, param=param)
    requests = RequestFile.read(file)
    folder = output.with_name(output.name + ".batch")
    with exit_quietly(), hold(folder):
        errand = Errand(folder, requests, url or "")
        with _told_how_to_go_on(errand, url), _place(requests, folder, url, api_key, model, flags) as client:
            errand.begin(client, window or ("24h" if url else "7d"))
            ended = errand.follow(client)
            found = errand.download(client, ended)
        _refuse_failed(ended, errand)
        with ExitStack() as written:
            target = written.enter_context(create(output, force=force))
            others = written.enter_context(create(errors, force=force)) if errors else None
            tally = sort(requests, errand.batch_id, found, target, others)
        errand.forget()
    end = "" if ended["status"] == "completed" else f"the batch {ended['status']}: "
    echo("\n".join([f"{output}: {end}{tally.lines()[0]}", *tally.lines()[1:]]), err=True)
    if tally.failed:
        click.get_current_context().exit(1)


@batch.command("list")
@gateway_flags
@click.option("--limit", type=click.IntRange(1, 100), default=20, metavar="N", help="so many of them  [20]")
@json_flag
def list_command(url: str | None, api_key: str | None, limit: int, as_json: bool) -> None:
    """List the batches of a gateway, the latest first."""
    import json

    from inferq.table import align

    with closing(_client(url, api_key)) as client:
        found = client.list(limit)
    if as_json:
        echo(json.dumps(found, indent=2))
        return
    rows = [("BATCH", "STATUS", "ENDPOINT", "MODEL", "REQUESTS", "COMPLETED", "FAILED")]
    for each in found:
        counts = each["request_counts"]
        numbers = (str(counts[name]) for name in ("total", "completed", "failed"))
        rows.append((each["id"], each["status"], each["endpoint"], each["model"] or "-", *numbers))
    echo(align(rows) if found else "no batches")


@batch.command()
@click.argument("batch_id", metavar="ID")
@gateway_flags
def cancel(batch_id: str, url: str | None, api_key: str | None) -> None:
    """End a batch of a gateway; what was answered so far is kept."""
    with closing(_client(url, api_key)) as client:
        echo(f"{batch_id}: {client.cancel(batch_id)['status']}")


def _client(url: str | None, api_key: str | None) -> BatchClient:
    from inferq.batches.client import BatchClient

    if not url:
        raise click.UsageError("Give the gateway: --url URL.")
    return BatchClient(url, api_key)


@contextmanager
def _place(
    requests: RequestFile, folder: Path, url: str | None, api_key: str | None, model: str | None, flags: dict[str, Any]
) -> Iterator[BatchClient]:
    """Where the batch runs."""
    from inferq.batches.client import BatchClient
    from inferq.batches.stack import fetch, locate, private_gateway, words

    if url:
        for flag in (*(["-m"] if model else ()), *words(flags)):
            raise InvalidRequest("the gateway serves what it serves; leave it out", param=flag)
        with closing(_client(url, api_key)) as client:
            yield client
        return
    name = model or requests.model
    if not name:
        raise click.UsageError("Give a model: -m MODEL|FILE, or --url URL of a running gateway.")
    found = locate(name, flags)
    if requests.model and requests.model not in (found.id, *found.aliases):
        message = f"{requests.path}: the first request asks for the model {requests.model!r}, not for {found.id!r}"
        raise InvalidRequest(message, param="-m")
    fetch(found)
    with private_gateway(folder, name, flags) as own, closing(BatchClient(own.url, own.key, own.check)) as client:
        yield client


@contextmanager
def _told_how_to_go_on(errand: Errand, url: str | None) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if errand.batch_id:
            there = f"{errand.batch_id} goes on at {url}" if url else f"what is done is kept in {errand.folder}"
            echo(f"\ninferq: {there}: run the same again to go on", err=True)
        raise


def _refuse_failed(ended: dict[str, Any], errand: Errand) -> None:
    """Raises InvalidRequest of a batch whose file was refused, InferqError of one that failed otherwise."""
    if ended["status"] != "failed":
        return
    errand.forget()
    errors = (ended["errors"] or {}).get("data", [])
    told = [f"line {each['line']}: {each['message']}" if each["line"] else each["message"] for each in errors[:10]]
    raise (InvalidRequest if errors else InferqError)("\n  ".join([f"{errand.batch_id} failed:", *told]))
