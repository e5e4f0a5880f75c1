"""What is refused although the description allows it, for JSON Schema cannot say why not."""

from __future__ import annotations

from gateway.schemas.fine_sampling import ALIASES
from gateway.schemas.reasoning import ReasoningSchema
from gateway.schemas.structured import StructuredOutputs, StructuredSchema
from tests.fuzz import messages, ollama, responses

UNFIT = ("return_token_ids", "ignore_eos", "min_tokens", "stop_token_ids")
BEYOND: set[tuple[str | None, str]] = {
    ("best_of", "invalid_value"),  # not less than `n`, and not with `stream`
    ("n", "invalid_value"),  # the choices of all prompts
    ("min_tokens", "invalid_value"),  # not more than `max_tokens`
    *((alias, "invalid_value") for alias in ALIASES),  # not another value than under its other name
    ("continue_final_message", "invalid_value"),  # only after the assistant's message
    ("add_generation_prompt", "invalid_value"),  # only with the former
    ("top_logprobs", "invalid_value"),  # only with `logprobs`
    ("dimensions", "unsupported_value"),  # those that the model has
    ("service_tier", "tier_refused"),
    ("metadata", "invalid_value"),  # few short ones where they are stored
    *((f"metadata{key}", "string_above_max_length") for key in ("", "[]")),
    ("prompt", "context_length_exceeded"),
    ("messages", "context_length_exceeded"),
    ("model", "model_not_found"),
    ("tools", "context_length_exceeded"),
    ("tools[]", "invalid_value"),  # not two of one name
    ("functions[]", "invalid_value"),
    ("functions", "invalid_value"),  # not with `tools`
    ("tool_choice", "invalid_value"),  # not one that is not there, and not with `functions`
    ("function_call", "invalid_value"),
    ("tools", "invalid_value"),  # a schema that cannot be kept
    *((name, "unsupported_value") for name in ("continue_final_message", *UNFIT)),  # not with tools
    *((name, "invalid_value") for name in UNFIT),  # not with a grammar
    *((name, "invalid_value") for name in StructuredSchema().fields),  # one that is right, and only one
    *((f"structured_outputs.{name}", "invalid_value") for name in StructuredOutputs().fields),
    *((f"response_format{name}", "invalid_value") for name in (".schema", ".json_schema.schema")),
    *((f"response_format{name}", "missing_required_parameter") for name in (".json_schema", ".json_schema.schema")),
    *((name, "invalid_value") for name in ReasoningSchema().fields),  # not something else in two places
    *(
        (f"chat_template_kwargs.{name}", "invalid_value")
        for name in ("enable_thinking", "thinking", "reasoning_effort")
    ),
    *((f"reasoning.{name}", "invalid_value") for name in ("effort", "enabled", "max_tokens")),
    *((f"thinking.{name}", "invalid_value") for name in ("type", "budget_tokens")),
    *((f"messages[].{name}", "invalid_value") for name in ("role", "name", "tool_call_id")),  # not of no call
    *((f"messages[].{name}", "invalid_value") for name in ("tool_calls", "function_call")),  # only of the assistant
    ("n_probs", "invalid_value"),  # not another number than `logprobs`
    *((name, "unsupported_value") for name in ("logprobs", "n_probs")),  # not in streams with tools
    *((name, "unsupported_value") for name in ("prompt_logprobs", "echo")),  # not in streams, or with `suffix`
    *((name, "integer_below_min_value") for name in ("max_completion_tokens", "max_tokens", *ALIASES)),  # 0, with them
    ("starting_after", "invalid_value"),  # only of a stream
    *((name, "invalid_value") for name in ("file", "filename")),  # of JSON lines, where its purpose says so
    *((name, "invalid_value") for name in ("part_ids", "upload_id")),  # as many bytes as were told, and only once
    (None, "requested_range_not_satisfiable"),  # bytes that the file has
    ("md5", "invalid_value"),  # that of the parts
    (None, "idempotency_key_reused"),  # a header that was drawn before, with another body
    ("samplers", "empty_array"),  # of infill, only where nothing is generated
    *((name, "invalid_value") for name in ("input_file_id", "batch_id")),  # a file for batches; one that runs
    ("data", "invalid_value"),  # not empty
    *((f"expires_after.{name}", "missing_required_parameter") for name in ("anchor", "seconds")),  # both, in a form
    ("completion_window", "unsupported_value"),  # only so long
    *((name, "invalid_value") for name in ("Last-Event-ID", "after_id", "before_id")),
    ("response_id", "invalid_value"),  # only what runs in the background can be cancelled
    *messages.BEYOND,
    *ollama.BEYOND,
    *responses.BEYOND,
}
"""(parameter, code) of refusals that a description by JSON Schema does not foresee; `[]` stands for any place."""
NOT_THERE = ("not_stored", "job_not_found", "model_not_found", "not_served", "unknown_event")
"""Codes of what was drawn and does not exist."""
