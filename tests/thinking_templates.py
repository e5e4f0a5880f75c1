"""Chat templates of models that think, for any model."""

from __future__ import annotations

from pathlib import Path

TURNS = """{%- for message in messages -%}
{%- if message.role == 'assistant' and message.reasoning_content -%}
<|im_start|>assistant
BEGIN{{ message.reasoning_content }}END{{ message.content }}<|im_end|>
{% else -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
PROMPT
{%- endif -%}"""


def write(folder: Path, begin: str, end: str, prompt: str = "") -> str:
    """A template whose model thinks; `prompt` is what it begins answers with."""
    path = folder / f"{abs(hash((begin, end, prompt)))}.jinja"
    path.write_text(TURNS.replace("BEGIN", begin).replace("END", end).replace("PROMPT\n", prompt))
    return str(path)


def write_begun(folder: Path) -> str:
    """One that begins the thoughts, unless it is told not to."""
    off = "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n"
    prompt = off + "{% else %}<think>\n{% endif %}"
    return write(folder, "<think>\n", "\n</think>\n\n", prompt)
