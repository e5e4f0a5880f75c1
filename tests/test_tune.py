"""`inferq tune`: what is tried, what of it is taken, and how it gets into models.toml."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from inferq.bench.answers import TimedAnswer
from inferq.bench.bursts import Burst
from inferq.tune.candidates import Proposal, find_drafts, propose
from inferq.tune.rounds import Trial, note
from inferq.tune.writing import write
from shared import catalogue
from shared.catalogue import Model
from shared.config import Config, ConfigError
from tests.commands import environment, inferq
from tests.stack import wait_for
from tests.tiny import TINY, roomy, tiny

MINE = """# my models, in my order
[[model]]
id = "other"  # an echo
engine = "echo"

[[model]]
# the small one
source = "roomy.gguf"
id = "small"
slots = 4 # as many as we are
threads = 2 # inferq tune: 1.10 times as fast, long ago

# the last one
[[model]]
id = "last"
engine = "echo"
"""


@pytest.fixture
def models_toml(tmp_path: Path) -> Path:
    roomy(tmp_path)
    path = tmp_path / "models.toml"
    path.write_text(MINE)
    return path


def small(models_toml: Path) -> Model:
    return catalogue.resolve("small", models_toml=str(models_toml))


def test_the_file_stays_the_users_own(models_toml: Path) -> None:
    models_toml.chmod(0o640)
    write(models_toml, small(models_toml), {"slots": 8, "threads": 1, "speculation": "ngram"}, "1.31 times as fast")
    lines = models_toml.read_text().splitlines()
    assert [line for line in MINE.splitlines() if line not in lines] == [
        "slots = 4 # as many as we are",
        "threads = 2 # inferq tune: 1.10 times as fast, long ago",
    ]
    assert [line for line in lines if line not in MINE.splitlines()] == [
        "slots = 8 # as many as we are; inferq tune: 1.31 times as fast",
        "threads = 1 # inferq tune: 1.31 times as fast",
        'speculation = "ngram" # inferq tune: 1.31 times as fast',
    ]
    assert lines[0] == MINE.splitlines()[0]
    found = small(models_toml)
    assert (found.slots, found.threads, found.settings) == (8, 1, {"speculation": "ngram"})
    assert models_toml.stat().st_mode & 0o777 == 0o640
    write(models_toml, found, {"speculation": None}, "")
    assert small(models_toml).settings == {}


def test_a_model_without_a_table_gets_one(models_toml: Path, tmp_path: Path) -> None:
    built_in = catalogue.resolve("smollm2")
    for path in (models_toml, tmp_path / "new" / "models.toml"):
        write(path, built_in, {"slots": 8}, "1.31 times as fast")
        found = catalogue.resolve("smollm2", models_toml=str(path))
        assert (found.slots, found.path, found.sampling) == (8, built_in.path, built_in.sampling)
    file = catalogue.resolve(str(TINY))
    write(models_toml, file, {"draft": "/a.gguf"}, "")
    assert catalogue.resolve(file.id, models_toml=str(models_toml)).draft == Path("/a.gguf")
    (tmp_path / "formal.gguf").touch()
    adapted = catalogue.resolve(f"small:{tmp_path / 'formal.gguf'}", models_toml=str(models_toml))
    write(models_toml, adapted, {"threads": 1}, "")
    assert catalogue.resolve("small:formal", models_toml=str(models_toml)) == replace(adapted, threads=1)
    assert not any("draft" in each.changes for each in propose(adapted, Config(), [TINY], "")), "it has its base's"


@pytest.mark.parametrize(
    ("text", "changes", "words"),
    [
        (MINE, {"slots": 0}, "must be 1 to 256"),
        ('model = [{id = "small", source = "roomy.gguf"}]\n', {"slots": 2}, "no tables that begin with"),
    ],
)
def test_what_cannot_be_written_leaves_the_file_as_it_is(
    models_toml: Path, text: str, changes: dict[str, int], words: str
) -> None:
    models_toml.write_text(text)
    with pytest.raises(ConfigError, match=words):
        write(models_toml, small(models_toml), changes, "")
    assert models_toml.read_text() == text
    assert [path.name for path in models_toml.parent.iterdir() if path.name.startswith(".")] == []


def test_what_could_not_be_written_is_told_before_anything_is_measured(models_toml: Path) -> None:
    models_toml.write_text('model = [{id = "small", source = "roomy.gguf"}]\n')
    done = inferq("tune", "small", "--models", models_toml)
    assert (done.returncode, "no tables that begin with" in done.stderr, done.stdout) == (2, True, "")
    models_toml.write_text(MINE)
    spaced = roomy(models_toml.parent).rename(models_toml.with_name("my model.gguf"))
    done = inferq("tune", spaced, "--models", models_toml, "--seconds", "1")
    told = f"{models_toml}: model 4: key 'id': 'my model' is no name"
    assert (done.returncode, told in done.stderr, done.stdout) == (2, True, "")


def trial(speeds: list[float], **more: list[float]) -> Trial:
    figures = dict.fromkeys(("prompt", "answer", "together"), speeds)
    calm = {"gap": [0.3] * len(speeds), "longer": [1.0] * len(speeds)}
    return Trial(Proposal("", {}), final=True, **{**figures, **calm, **more})  # type: ignore[arg-type]  # numbers


def test_what_pays_has_to_pay_in_every_round_and_for_everybody() -> None:
    assert trial([1.2, 1.3, 1.1]).why_not == ""
    assert "rounds" in trial([1.2, 1.3]).why_not
    assert "less than" in trial([1.02, 1.04, 1.03]).why_not
    assert "every round" in trial([1.2, 0.9, 1.3]).why_not
    assert "slower for a prompt" in trial([1.5, 1.5, 1.5], prompt=[0.9, 0.9, 0.9]).why_not
    assert "wait longer" in trial([1.5, 1.5, 1.5], gap=[0.8] * 3, longer=[2.0] * 3).why_not
    assert trial([1.5, 1.5, 1.5], gap=[0.2] * 3, longer=[2.0] * 3).why_not == ""


def test_what_promises_nothing_is_not_measured_anew() -> None:
    def sifted(*speeds: float, **more: list[float]) -> str:
        return replace(trial([*speeds], **more), final=False).why_not

    assert sifted(1.04, 1.03) == ""
    assert "less than" in sifted(1.01, 1.0)
    assert "slower for one answer" in sifted(1.5, 1.5, answer=[0.9, 0.9])


def burst(contender: int, prompt: int, turn: int, seconds: float) -> Burst:
    times = tuple(seconds * (number + 1) for number in range(4))
    return Burst(contender, (prompt, 1), turn, [TimedAnswer(times, times[-1], 4, "usage", None, None, "")], [])


def test_a_moment_in_which_the_machine_stood_makes_nobody_look_faster() -> None:
    for slow in (0, 2):  # the settings as they are, at either end of a round
        bursts = [
            burst(contender, prompt, turn, 9.0 if contender == slow and turn else 0.1)
            for turn in range(2)
            for prompt in (256, 48)
            for contender in range(3)
        ]
        found = Trial(Proposal("", {}))
        note(found, bursts, 1, (0, 2))
        assert found.speeds == pytest.approx([1.0, 1.0])


def test_each_candidate_is_something_that_can_be_set() -> None:
    model, config = tiny(), Config(slots=4, threads=1, batch_threads=1, batch_size=64)
    found = list(propose(model, config, [Path("/a.gguf")], "/b/llama-server"))
    for each in found:
        changed = each.apply(model, config)
        assert changed != (model, config)
    names = {key for each in found for key in each.changes}
    assert {"speculation", "draft", "llama_server", "slots", "batch_size", "attention", "kv_cache"} <= names
    assert [each.name for each in found if each.lossy] == ["a cache of 8 bits"]
    drafted = [dict(each.changes) for each in propose(replace(model, draft=TINY), config, [], "")]
    assert {"draft": None} in drafted
    assert {"speculation": "ngram"} not in drafted


def test_a_draft_has_the_vocabulary_and_is_much_smaller(tmp_path: Path, smollm2_path: Path) -> None:
    (large := tmp_path / "large.gguf").write_bytes(TINY.read_bytes() + bytes(3 * TINY.stat().st_size))
    (broken := tmp_path / "broken.gguf").write_bytes(TINY.read_bytes()[:500])
    known = [tiny(), tiny(smollm2_path), tiny(broken), tiny(tmp_path / "gone.gguf"), catalogue.resolve("echo")]
    assert find_drafts(tiny(large), known) == [TINY]
    assert find_drafts(tiny(), known) == []


def test_it_prints_what_it_found_and_a_dry_run_writes_nothing(models_toml: Path) -> None:
    arguments = ("tune", "small", "--models", models_toml, "--dry-run", "--seconds", "2")
    done = inferq(*arguments, INFERQ_BATCH_SIZE="64", INFERQ_THREADS="1")
    assert done.returncode == 0 or "nothing could be measured in that time" in done.stderr
    assert "guesses from the text" in done.stdout
    assert "medians of rounds in turns" in done.stdout
    assert models_toml.read_text() == MINE


def test_ctrl_c_leaves_the_file_as_it_was(models_toml: Path) -> None:
    command = [sys.executable, "-P", "-m", "inferq", "tune", "small", "--models", str(models_toml)]
    settings = {"INFERQ_BATCH_SIZE": "64", "INFERQ_THREADS": "1"}
    with subprocess.Popen(command, env=environment(**settings), stdout=subprocess.PIPE, text=True) as process:
        wait_for(lambda: Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(), "an engine host")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 128 + signal.SIGINT
    assert models_toml.read_text() == MINE


@pytest.mark.parametrize(("name", "words"), [("other", "engine echo has nothing"), (str(TINY), "measuring takes")])
def test_what_cannot_be_tuned_is_told(models_toml: Path, name: str, words: str) -> None:
    done = inferq("tune", name, "--models", models_toml, INFERQ_BATCH_SIZE="64", INFERQ_THREADS="1")
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr
