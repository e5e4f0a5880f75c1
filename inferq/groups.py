"""The group of all commands: where each is found, and how `inferq --help` shows them."""

from __future__ import annotations

import importlib

import click

from shared.nearest import suggestion

_TOOLS = {
    "infer": "inferq.tools.infer:infer",
    "chat": "inferq.tools.chat:chat",
    "batch": "inferq.tools.batch:batch",
    "bench": "inferq.tools.bench:bench",
    "tune": "inferq.tools.tune:tune",
    "engine": "inferq.tools.engine:engine",
    "models": "inferq.tools.kept:models",
    "pull": "inferq.tools.kept:pull",
    "rm": "inferq.tools.kept:rm",
    "repl": "inferq.tools.repl:repl",
    "info": "inferq.tools.info:info",
    "tokens": "inferq.tools.tokens:tokens",
    "convert": "inferq.tools.convert:convert",
    "quantize": "inferq.tools.quantize:quantize",
    "perplexity": "inferq.tools.perplexity:perplexity",
}
"""name -> "module:command"; the modules import nothing but click, `shared` and `inferq` before their command runs."""


_GROUPS = {
    "Begin with": ("up", "chat", "infer", "models", "pull", "status", "batch", "bench", "tune"),
    "Model files": ("info", "tokens", "perplexity", "convert", "quantize", "repl", "rm"),
    "Operation": ("gateway", "worker", "check", "engine"),
}
"""How `inferq --help` shows them."""


class Commands(click.Group):
    """The commands of this module, and the tools, which are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for names in _GROUPS.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _TOOLS:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = _TOOLS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as exc:
            meant = suggestion(args[0], self.list_commands(ctx))
            raise click.UsageError(exc.message + meant, ctx) from exc

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Below the commands: there are many of these, and no option that one comes for."""
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """In groups, each with its first sentence, which click would cut."""
        width = max(map(len, self.list_commands(ctx)))
        for title, names in _GROUPS.items():
            rows = [(name.ljust(width), self._sentence(ctx, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl(rows)

    def _sentence(self, ctx: click.Context, name: str) -> str:
        command = self.get_command(ctx, name)
        assert command is not None
        return " ".join((command.help or "").partition("\n\n")[0].split()).removesuffix(".")
