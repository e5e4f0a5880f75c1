"""Flags that several tools take."""

from __future__ import annotations

import click

json_flag = click.option("--json", "as_json", is_flag=True, help="print JSON")
model_flag = click.option(
    "-m", "--model", required=True, metavar="MODEL|FILE", help="a name out of `inferq models`, or a file"
)
