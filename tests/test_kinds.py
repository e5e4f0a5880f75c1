"""Each kind of task has all that it needs: an ability, a format, a runner."""

from __future__ import annotations

from typing import get_args

import pytest

from gateway.schemas import usual_format
from shared.abilities import NEEDS, Need, check, spare
from shared.card import Ability, Card
from shared.codec import encode
from shared.errors import InvalidRequest
from shared.protocol import (
    Accepted,
    Chat,
    Completion,
    Decoded,
    Decoding,
    Delta,
    Described,
    Describing,
    Done,
    Embedding,
    Encoded,
    Encoding,
    Event,
    Failed,
    FineChat,
    FineCompletion,
    FineMessage,
    Message,
    Pooled,
    PoolingTask,
    Progress,
    Reranking,
    Sampling,
    StartOver,
    State,
    Task,
    TextTask,
    TokenizerTask,
    Tool,
    ToolCall,
    Usage,
    final_state,
    text_task,
)
from worker.runners import RUNNERS

LARGE = Sampling(1, stop=("end" * 1000,), logit_bias=((5, 1.0),) * 1000)
TASKS: dict[type[TextTask], TextTask] = {
    Chat: Chat("m", (Message("user", "Hi " * 1000),), LARGE, 3, token_ids=True),
    FineChat: FineChat("m", (Message("user", "Hi " * 1000),), LARGE, 3, tools=(Tool("f", "do " * 1000),)),
    FineCompletion: FineCompletion("m", ("Hi " * 1000, (1,) * 1000), LARGE, 2, token_ids=True, echo=True),
    Completion: Completion("m", ("Hi " * 1000, (1,) * 1000), LARGE, 2, token_ids=True),
}

ABOUT: dict[type[TokenizerTask], TokenizerTask] = {
    Encoding: Encoding("m", TASKS[FineChat], pieces=True),  # type: ignore[arg-type]  # it is one
    Decoding: Decoding("m", (1,) * 1000),
    Describing: Describing("m"),
}

POOLED: dict[type[PoolingTask], PoolingTask] = {
    Embedding: Embedding("m", ("Hi " * 1000, (1,) * 1000), 8),
    Reranking: Reranking("m", "Hi " * 1000, ("Hi " * 1000, "")),
}


def card(*capabilities: str) -> Card:
    return Card("m", "echo", "echo", context=1, slots=1, created=1, capabilities=capabilities)


def test_every_kind_has_a_need_a_format_and_a_runner() -> None:
    assert set(TASKS) == set(get_args(TextTask))
    assert set(ABOUT) == set(get_args(TokenizerTask))
    assert set(POOLED) == set(get_args(PoolingTask))
    assert {*TASKS, *ABOUT, *POOLED} == set(RUNNERS)
    for task in (*TASKS.values(), *POOLED.values()):
        assert any(need.by(task) for need in NEEDS)
    for task in TASKS.values():
        assert usual_format(task).name


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: type(task).__name__)
def test_the_head_is_small_and_has_what_an_answer_needs(task: TextTask) -> None:
    accepted = Accepted(task, 1, "me", "req_1", usual_format(task).name)
    head = accepted.head()
    assert isinstance(head.task, TextTask)
    assert len(encode([head])) < 300
    assert (head.task.model, head.task.choices, head.task.token_ids) == (task.model, task.choices, task.token_ids)
    assert head.task.sampling.seed == task.sampling.seed
    assert (head.created, head.owner, head.request_id, head.format) == (1, "me", "req_1", accepted.format)
    assert head.head() == head


@pytest.mark.parametrize("task", ABOUT.values(), ids=lambda task: type(task).__name__)
def test_so_is_that_of_what_is_asked_of_a_tokenizer(task: TokenizerTask) -> None:
    head = Accepted(task, 1, "me", "req_1", "vllm.tokenize").head()
    assert len(encode([head])) < 300
    assert type(head.task) is type(task)
    assert head.task.model == "m"
    assert head.head() == head
    assert head.restore(task).task == task


@pytest.mark.parametrize("task", POOLED.values(), ids=lambda task: type(task).__name__)
def test_so_is_that_of_what_is_answered_with_vectors(task: PoolingTask) -> None:
    head = Accepted(task, 1, "me", "req_1", "openai.embedding").head()
    assert len(encode([head])) < 300
    assert isinstance(head.task, PoolingTask)
    assert (head.task.model, head.task.size) == ("m", task.size)
    assert head.head() == head
    assert head.restore(task).task == task


def test_who_asks_about_a_prompt_needs_what_its_answer_does() -> None:
    for chat in (TASKS[FineChat], TASKS[Chat], Chat("m", (RESULT,), LARGE)):
        assert isinstance(chat, Chat)
        about = Encoding("m", chat)
        assert text_task(about) is chat
        assert text_task(chat) is chat
        for lacking in (Ability.CHAT, Ability.TOOLS):
            able = card(*(ability for ability in Ability if ability is not lacking))
            assert _refusal(about, able) == _refusal(chat, able)
        thinking = FineChat("m", (Message("user", "Hi"),), LARGE, thinking=True)
        assert spare(Encoding("m", thinking), card("chat")) == Encoding("m", spare(thinking, card("chat")))  # type: ignore[arg-type]  # of a chat comes a chat
    for task in (Encoding("m", "text"), ABOUT[Decoding], ABOUT[Describing]):
        assert text_task(task) is None
        check(task, card("made-up"))


def _refusal(task: Task, able: Card) -> str:
    try:
        check(task, able)
    except InvalidRequest as exc:
        return f"{exc.param}: {exc.message}"
    return ""


RESULT = FineMessage("tool", "4", tool_call_id="call_1", name="f")
CALL = FineMessage("assistant", "", (ToolCall("call_1", "f", "{}"),))
ASKED: list[tuple[Task, Need]] = [
    *((task, next(need for need in NEEDS if need.by(task))) for task in (*TASKS.values(), *POOLED.values())),
    *((task, next(need for need in NEEDS if need.ability is Ability.CHAT)) for task in (TASKS[Chat], ABOUT[Encoding])),
    (TASKS[FineChat], next(need for need in NEEDS if need.param == "tools")),
    (FineCompletion("m", ("",), LARGE, suffix=""), next(need for need in NEEDS if need.ability is Ability.INFILL)),
    *((Chat("m", (turn,), LARGE), next(need for need in NEEDS if need.param == "messages")) for turn in (RESULT, CALL)),
]


def test_every_need_is_asked_for() -> None:
    assert {id(need) for _, need in ASKED} == {id(need) for need in NEEDS}
    thoughts = Chat("m", (FineMessage("assistant", "x", reasoning="hm"),), LARGE)
    assert [need.ability for need in NEEDS if need.by(thoughts)] == [Ability.COMPLETION, Ability.CHAT]


@pytest.mark.parametrize(("task", "need"), ASKED, ids=lambda each: getattr(each, "ability", type(each).__name__))
def test_a_model_is_asked_only_for_what_it_can_do(task: Task, need: Need) -> None:
    check(task, card(*Ability))
    check(task, card())
    with pytest.raises(InvalidRequest) as caught:
        check(task, card(*(ability for ability in Ability if ability is not need.ability), "made-up"))
    assert (caught.value.param, caught.value.code) == (need.param, "unsupported_value")
    assert "'m'" in caught.value.message


def test_abilities_of_another_version_are_passed_over() -> None:
    assert card("chat", "continue", "made-up").abilities == {Ability.CHAT}


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (Done(Usage(1, 1)), State.COMPLETED),
        (Failed("cancelled", "It was."), State.CANCELLED),
        (Failed("deadline_exceeded", "It was late."), State.FAILED),
        (Delta("x", finish_reason="stop"), None),
        (Progress(1, 1), None),
        (StartOver(), None),
        (Encoded("", (1,)), None),
        (Decoded("x"), None),
        (Described("{}"), None),
        (Pooled(0, (b"",), (1,)), None),
    ],
)
def test_the_last_event_says_how_a_job_has_ended(event: Event, state: State | None) -> None:
    assert final_state(event) is state
