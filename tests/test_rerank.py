"""/v1/rerank: how well documents answer a query, in the words of those who ask."""

from __future__ import annotations

import math
from typing import Any

import httpx2 as httpx
import pytest

from tests.calls import job, problem, submit
from tests.stack import wait_for

QUERY = "the red fox"
DOCUMENTS = ["nothing of it", "fox red the quick", "a red thing", "", "the red one"]
COMMON = [0, 3, 1, 0, 2]
"""What echo tells of each: how many of the query's words it has."""
LONG = "word " * 32_768


def post(http: httpx.Client, path: str = "/v1/rerank", **asked: Any) -> Any:
    answer = http.post(path, json={"model": "echo", "query": QUERY, **asked})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_best_come_first(http: httpx.Client) -> None:
    told = post(http, documents=DOCUMENTS)
    assert [each["index"] for each in told["results"]] == [1, 4, 2, 0, 3]
    for each in told["results"]:
        assert math.isclose(each["relevance_score"], 1 / (1 + math.exp(-COMMON[each["index"]])))
        assert each.keys() == {"index", "relevance_score"}
    assert (told["id"][:7], told["object"], told["model"]) == ("rerank-", "list", "echo")
    assert told["usage"] == {"prompt_tokens": 28, "total_tokens": 28}


def test_as_many_as_are_asked_for_with_their_texts(http: httpx.Client) -> None:
    objects = [{"text": text, "id": number} for number, text in enumerate(DOCUMENTS)]
    told = post(http, documents=objects, top_n=2, return_documents=True, raw_scores=True)
    assert told["results"] == [
        {"index": 1, "relevance_score": 3.0, "document": {"text": DOCUMENTS[1]}},
        {"index": 4, "relevance_score": 2.0, "document": {"text": DOCUMENTS[4]}},
    ]
    assert len(post(http, documents=objects, top_n=0)["results"]) == len(objects)


@pytest.mark.parametrize("path", ["/rerank", "/v1/reranking", "/reranking", "/v2/rerank", "/v1/v2/rerank"])
def test_wherever_clients_look_for_it(http: httpx.Client, path: str) -> None:
    assert post(http, path, documents=["a"])["results"] == [{"index": 0, "relevance_score": 0.5}]


def test_in_the_words_of_tei(http: httpx.Client) -> None:
    told = post(http, "/rerank", texts=DOCUMENTS, raw_scores=True, return_text=True)
    assert told[:2] == [
        {"index": 1, "score": 3.0, "text": DOCUMENTS[1]},
        {"index": 4, "score": 2.0, "text": DOCUMENTS[4]},
    ]
    assert len(told) == len(DOCUMENTS)
    assert post(http, texts=["a"]) == [{"index": 0, "score": 0.5}]
    error = problem(http.post("/rerank", json={"model": "echo", "query": "a", "texts": ["b", LONG]}), 400)
    assert (error["param"], error["code"]) == ("texts[1]", "context_length_exceeded")


def test_what_is_too_long_is_cut_off_where_the_request_has_it_so(http: httpx.Client) -> None:
    whole = post(http, documents=[LONG], truncate="END")
    assert whole["usage"]["prompt_tokens"] == 32_768
    told = post(http, documents=["nothing red fox", "fox"], max_tokens_per_doc=2, raw_scores=True)["results"]
    assert [(each["index"], each["relevance_score"]) for each in told] == [(0, 1.0), (1, 1.0)]


@pytest.mark.parametrize("more", [{"return_documents": True}, {}], ids=str)
def test_later(http: httpx.Client, more: dict[str, Any]) -> None:
    body = {"query": QUERY, "documents": DOCUMENTS, "top_n": 3, **more}
    job_id = submit(http, "/v1/rerank", {"model": "echo", **body})
    told = wait_for(lambda: (found := job(http, job_id))["status"] == "completed" and found, "the scores")
    assert told["result"]["results"] == post(http, **body)["results"]


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"documents": ["a"], "query": None}, "query", "missing_required_parameter"),
    ({"documents": ["a"], "query": ""}, "query", "invalid_value"),
    ({"documents": ["a"], "query": LONG + "more"}, "query", "context_length_exceeded"),
    ({}, "documents", "missing_required_parameter"),
    ({"documents": []}, "documents", "empty_array"),
    ({"documents": ["a"] * 2049}, "documents", "array_above_max_length"),
    ({"documents": ["a", 1]}, "documents[1]", "invalid_type"),
    ({"documents": ["a", {"title": "b"}]}, "documents[1].text", "missing_required_parameter"),
    ({"documents": ["a", {"text": 1}]}, "documents[1].text", "invalid_type"),
    ({"documents": ["a", LONG]}, "documents[1]", "context_length_exceeded"),
    ({"documents": ["a"], "top_n": -1}, "top_n", "integer_below_min_value"),
    ({"documents": ["a"], "rank_fields": ["title"]}, "rank_fields", "unsupported_value"),
    ({"texts": ["a"], "documents": ["a"]}, "documents", "unknown_parameter"),
]


@pytest.mark.parametrize(("asked", "param", "code"), REFUSED, ids=lambda each: str(each)[:40])
def test_refused(http: httpx.Client, asked: dict[str, Any], param: str, code: str) -> None:
    error = problem(http.post("/v1/rerank", json={"model": "echo", "query": QUERY, **asked}), 400)
    assert (error["param"], error["code"]) == (param, code)
