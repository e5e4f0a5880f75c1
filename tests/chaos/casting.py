"""Who asks for what."""

from __future__ import annotations

from tests.chaos.batch_client import BatchClient
from tests.chaos.clients import Client
from tests.chaos.forms import Form
from tests.chaos.storing_clients import FileClient, ResponseClient, StoringClient, TalkingClient


def client_for(form: Form) -> type[Client]:
    """Who asks for an answer of that form."""
    return _CLIENTS.get(form, Client)


_CLIENTS: dict[Form, type[Client]] = {
    Form.STORED: StoringClient,
    Form.RESPONSE: ResponseClient,
    Form.TALK: TalkingClient,
    Form.CHAIN: TalkingClient,
    Form.FILE: FileClient,
    Form.PARTS: FileClient,
    Form.BATCH: BatchClient,
}
