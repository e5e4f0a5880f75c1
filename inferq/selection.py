"""Which models `inferq up` serves, as its command line says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared import catalogue
from shared.catalogue import Model


@dataclass(frozen=True, slots=True)
class Selection:
    """Which models to serve, and what is said of all of them."""

    names: Sequence[str]
    """Empty: all that have names, on demand."""
    engine: str | None
    architecture: str
    chat_format: str

    def models(self, models_toml: str) -> list[Model]:
        return [
            catalogue.resolve(
                name,
                self.engine,
                architecture=self.architecture,
                chat_format=self.chat_format,
                models_toml=models_toml,
            )
            for name in self.names
        ]

    def adapt(self, model: Model) -> Model:
        """A model of which the same is said."""
        return replace(
            model,
            engine=self.engine or model.engine,
            architecture=self.architecture or model.architecture,
            chat_format=self.chat_format or model.chat_format,
        )

    def flags(self) -> list[str]:
        """The same for a worker."""
        given = (("--engine", self.engine), ("--arch", self.architecture), ("--chat-format", self.chat_format))
        return [word for flag, value in given if value for word in (flag, value)]
