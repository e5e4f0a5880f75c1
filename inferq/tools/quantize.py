"""`inferq quantize`: a smaller file of the same model."""

from __future__ import annotations

from pathlib import Path

import click

from inferq.commands import arch_flag
from inferq.terminal import echo
from inferq.tools.output import bar, create, force_flag


@click.command()
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST", type=click.Path(path_type=Path))
@click.argument("kind", metavar="TYPE")
@click.option("--pure", is_flag=True, help="give every tensor the same type, output.weight too")
@click.option("--allow-requantize", is_flag=True, help="take weights that are quantised already; loses more")
@force_flag
@arch_flag
def quantize(source: str, target: Path, kind: str, pure: bool, allow_requantize: bool, force: bool, arch: str) -> None:
    """Write a smaller file of the same model.

    It is SRC, a GGUF file, a model's name or hf:owner/repository, written to DST in TYPE, byte for byte as llama.cpp's
    llama-quantize does.

    TYPE is Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K_S, Q3_K_M, Q3_K_L, Q4_K_S, Q4_K_M, Q5_K_S, Q5_K_M or Q6_K. SRC
    holds f32, f16 or bf16 weights. SRC may also be a legacy file of such weights, which is converted first.
    """
    from inferq.tools.models import find_source
    from shared.catalogue import size_of
    from worker.formats.description import describe, is_gguf
    from worker.formats.quantise import quantise

    file = find_source(source)
    if not is_gguf(file):
        from worker.formats.repack import provide_gguf

        with bar("converting") as progress:
            file = provide_gguf(file, arch or None, progress)
    elif arch:
        describe(file, arch)
    with create(target, force=force) as partial, bar(f"quantising to {kind}") as progress:
        quantise(file, partial, kind.upper(), progress, pure=pure, allow_requantise=allow_requantize)
    size, before = target.stat().st_size, size_of(file)
    echo(f"{target}: {size / 1e6:.1f} MB, {size / before:.0%} of {file}")
