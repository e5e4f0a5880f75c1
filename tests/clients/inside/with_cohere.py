"""Cohere's package, of which documents are ranked here."""

from __future__ import annotations

import cohere
from checks import URL, check, equal, run

QUERY, DOCUMENTS = "the red fox", ["nothing of it", "fox red the quick", "a red thing"]
client = cohere.Client(base_url=URL, api_key="none")
second = cohere.ClientV2(base_url=URL, api_key="none")


@check
def rerank() -> None:
    told = second.rerank(model="echo", query=QUERY, documents=DOCUMENTS, top_n=2)
    equal([each.index for each in told.results], [1, 2])
    assert 1 > told.results[0].relevance_score > told.results[1].relevance_score > 0.5


@check
def cut_documents() -> None:
    told = second.rerank(model="echo", query=QUERY, documents=DOCUMENTS, max_tokens_per_doc=1)
    equal([each.index for each in told.results], [1, 0, 2])


@check
def rerank_of_its_first_version() -> None:
    documents = [{"text": text} for text in DOCUMENTS]
    told = client.rerank(model="echo", query=QUERY, documents=documents, top_n=1, return_documents=True)
    equal([(each.index, each.document and each.document.text) for each in told.results], [(1, DOCUMENTS[1])])


@check
async def asynchronous() -> None:
    async with cohere.AsyncClientV2(base_url=URL, api_key="none") as client:
        told = await client.rerank(model="echo", query=QUERY, documents=DOCUMENTS)
        equal([each.index for each in told.results], [1, 2, 0])


@check
def a_model_that_cannot() -> None:
    try:
        second.rerank(model="smollm2", query=QUERY, documents=DOCUMENTS)
        why = ""
    except cohere.BadRequestError as exc:
        why = str(exc)
    assert "Models that can: echo" in why, why


run()
