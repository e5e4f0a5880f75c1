"""The judge of `make coherence` tells sense from nonsense, and the README's first calls get sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.coherence.judge import Judge, repetition
from tests.coherence.judge_model import JudgeModel
from tests.coherence.questions import QUESTIONS, WRITTEN
from tests.stack import Stack

NONSENSE = (
    "Certainly and I apologize for any confusion. Click On This segment to see some funny news and audiobooks about the"
    " internet you've fallen for, topics like television shows, music, movies, and books."
)
"""What the model once answered to the last question, at a temperature of 1."""


@pytest.fixture(scope="module")
def judge(smollm2: Stack, smollm2_path: Path) -> Judge:
    return Judge(smollm2.client(), JudgeModel(smollm2_path))


def test_what_people_write_passes_and_nonsense_does_not(judge: Judge) -> None:
    assert judge.judge(QUESTIONS[-1], WRITTEN[-1]).coherent
    backwards = " ".join(reversed(WRITTEN[-1].split()))
    for answer in (NONSENSE, backwards, ""):
        assert not judge.judge(QUESTIONS[-1], answer).coherent


def test_repetition_is_the_share_of_runs_that_came_before() -> None:
    assert repetition("") == repetition("one two three four five") == 0
    assert repetition("one two three four. One two three four") == pytest.approx(1 / 5)


def test_a_client_that_knows_nothing_of_sampling_gets_sense(smollm2: Stack, judge: Judge) -> None:
    answers = {}
    for seed, question in enumerate(QUESTIONS[:2]):
        answer = smollm2.client().chat.completions.create(
            model="smollm2", messages=[{"role": "user", "content": question}], seed=seed, max_tokens=60
        )
        answers[question] = str(answer.choices[0].message.content)
    assert all(judge.judge(*pair).coherent for pair in answers.items()), answers
    assert "Paris" in answers[QUESTIONS[0]]
