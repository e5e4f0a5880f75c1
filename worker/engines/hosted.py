"""What engines have in common that compute in a host."""

from __future__ import annotations

from worker.engines.host import EngineHost


class Hosted:
    """See `worker.engines.Engine`."""

    _host: EngineHost

    @property
    def trouble(self) -> str:
        return self._host.trouble

    @property
    def stale(self) -> bool:
        return self._host.stale

    @property
    def host_pid(self) -> int:
        return self._host.pid
