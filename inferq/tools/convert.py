"""`inferq convert`: a GGUF file from a legacy file or a checkpoint."""

from __future__ import annotations

from pathlib import Path

import click

from inferq.commands import arch_flag
from inferq.terminal import echo
from inferq.tools.output import bar, create, force_flag
from shared.errors import InvalidRequest


@click.command()
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST", type=click.Path(path_type=Path))
@click.option(
    "--type", "kind", type=click.Choice(["f32", "f16", "bf16", "q8_0"]), help="of a checkpoint's weights  [f16]"
)
@force_flag
@arch_flag
def convert(source: str, target: Path, kind: str | None, force: bool, arch: str) -> None:
    """Write another model file as GGUF.

    SRC is a legacy GGML file, which is repacked without loss, or the folder of a Hugging Face checkpoint, with
    config.json, tokenizer.json and safetensors, or hf:owner/repository, of which these files are fetched.
    """
    from inferq.tools.models import find_source

    file = find_source(source, checkpoint=True)
    with create(target, force=force) as partial, bar("converting") as progress:
        if file.is_dir():
            if arch:
                raise InvalidRequest("a checkpoint says itself what it holds; leave --arch out", param="--arch")
            from worker.formats.checkpoint import convert as converted

            converted(file, partial, kind or "f16", progress)
        else:
            if kind is not None:
                raise InvalidRequest("a legacy file keeps its types; leave --type out", param="--type")
            from worker.formats.repack import repack

            repack(file, partial, arch or None, progress)
    echo(f"{target}: {target.stat().st_size / 1e6:.1f} MB")
