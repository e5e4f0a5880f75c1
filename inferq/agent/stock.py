"""The models that a machine offers: those of its models.toml, its folder of models, and the built-in ones."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from inferq.agent import room
from inferq.inspection import read_outline, tell
from inferq.weights import are_chosen
from shared import catalogue
from shared.card import Card
from shared.catalogue import Model
from shared.catalogue.lasting import read_keep
from shared.catalogue.parts import files_of
from shared.config import Config
from shared.errors import InferqError
from shared.passing import is_passing
from worker.memory import DoesNotFit

log = logging.getLogger("inferq.agent")

Mark = tuple[object, ...]
"""What tells a model's file, and what is said of it, from any other."""
_QUIET = 60.0
"""Seconds after which the log is told again of a model whose file changes, and is none yet, as while it is copied."""
_BLANK = Card("", "", "", context=0, slots=0, created=0)


@dataclass(frozen=True, slots=True)
class Article:
    """One model of them."""

    model: Model
    outline: Card
    needs: int
    """Bytes of memory; a guess until it is weighed."""
    mark: Mark
    fault: str = ""
    """Why it can never be loaded as it is, in words for everybody; empty where nothing speaks against it."""
    detail: str = ""
    """The same for those who look after the machine."""
    weighed: bool = False
    spare: int = 0
    """Bytes beside those that it needs which are of use to it, where nobody else needs them."""
    raw: bool = False
    """Other weights may have to be made of it before it is loaded."""
    passing: bool = False
    """The fault is none of the file's: it is looked at again."""

    @property
    def id(self) -> str:
        return self.model.id

    @property
    def here(self) -> bool:
        """Whether nothing has to be fetched for it."""
        own = self.model.adapter
        return (self.model.path is not None or self.model.origin is None) and not (own and own.path is None)

    def differs(self, before: Article) -> bool:
        """Whether another file is to be served than before. One that was fetched since is what was meant."""
        return self.mark != before.mark and before.here


class Stock:
    """Looks at the models again and again: files come and go."""

    def __init__(self, config: Config, adapt: Callable[[Model], Model]) -> None:
        """`adapt` gives a model what the command line says of all of them."""
        self._config = config
        self._adapt = adapt
        self._keep = read_keep(config.keep)
        self._trouble = ""
        self._told: dict[str, float] = {}
        """When the log was told last of a model that it cannot be served (monotonic)."""
        self._provided: dict[str, Mark] = {}
        """Of which all was made that could be."""
        self.articles: dict[str, Article] = {}

    def look(self) -> bool:
        """Whether something has changed. A models.toml that is not right changes nothing, and is told once."""
        try:
            models = catalogue.list_models(self._config.models)
        except (InferqError, OSError) as exc:
            if str(exc) != self._trouble:
                log.warning("the models stay as they were: %s", exc)
            self._trouble = str(exc)
            return False
        self._trouble = ""
        before, found = self.articles, dict[str, Article]()
        for model in models:
            mark = _mark(model)
            known = before.get(model.id)
            unchanged = known and known.mark == mark and not known.passing
            found[model.id] = known if known and unchanged else self._inspect(model, mark)
        self._told = {model: at for model, at in self._told.items() if model in found}
        self._provided = {model: mark for model, mark in self._provided.items() if model in found}
        self.articles = found  # at once: others look at it
        return before != found

    def weigh(self, model: str) -> Article:
        """One of them, of which is known what it needs. That may take a second, the first time. Of a legacy file it is
        known once that was repacked, which is not done here."""
        article = self.articles[model]
        if article.weighed or article.fault:
            return article
        try:
            article = replace(article, raw=self._is_raw(article))
            if not (article.raw and _is_legacy(article.model.path)):
                needs, spare = room.weigh(article.model, self._config)
                article = replace(article, needs=needs, spare=spare, weighed=article.here)
        except DoesNotFit as exc:  # its message has nothing but numbers
            article = replace(article, weighed=True, fault=str(exc), detail=str(exc))
        except (InferqError, OSError) as exc:
            article = self._refuse(article.model, article.mark, exc)
        self.articles[model] = article
        return article

    def _is_raw(self, article: Article) -> bool:
        provided = self._provided.get(article.id) == article.mark
        return article.here and not provided and not are_chosen(article.model, self._config)

    def provide(self, model: str) -> bool:
        """It was fetched, and what could be made of it was made. Whether its file is here."""
        self.look()
        if (article := self.articles.get(model)) is None:
            return False
        self._provided[model] = article.mark
        self.weigh_anew(article)
        return article.here

    def weigh_anew(self, article: Article) -> None:
        """One that was loaded: other weights may have been prepared of it since."""
        if self.articles.get(article.id) == article:
            self.articles[article.id] = replace(article, weighed=False)

    def weigh_next(self) -> None:
        """The next one of those that have not been weighed, so that what does not fit is known before it is asked.

        A legacy file would have to be repacked for that, which nobody has asked for.
        """
        for article in self.articles.values():
            if not (article.weighed or article.fault) and article.here and not _is_legacy(article.model.path):
                self.weigh(article.id)
                return

    def keep(self, article: Article) -> float:
        """Seconds that it stays loaded though nobody asks for it."""
        return self._keep if article.model.keep is None else article.model.keep

    def _inspect(self, model: Model, mark: Mark) -> Article:
        try:
            model, card = read_outline(self._adapt(model), self._config)
            return Article(model, card, room.guess(model), mark)
        except (InferqError, OSError) as exc:
            return self._refuse(model, mark, exc)

    def _refuse(self, model: Model, mark: Mark, exc: Exception) -> Article:
        quiet = time.monotonic() - self._told.get(model.id, -_QUIET) < _QUIET
        log.log(logging.DEBUG if quiet else logging.WARNING, "%s cannot be served: %s", model.id, exc)
        if not quiet:
            self._told[model.id] = time.monotonic()
        blank = replace(_BLANK, id=model.id, aliases=model.aliases, created=int(time.time()))
        return Article(model, blank, 0, mark, tell(exc, model), str(exc), passing=is_passing(exc))


def _mark(model: Model) -> Mark:
    parts = files_of(model.path) if model.path else ()
    return (model, *map(_stamp, (*parts, *(path for path, _ in model.adapters), model.draft)))


def _is_legacy(path: Path | None) -> bool:
    try:
        return path is not None and catalogue.is_legacy(path)
    except OSError:  # who is to load it says so
        return False


def _stamp(path: Path | None) -> tuple[int, int, int]:
    try:
        told = path.stat() if path else None
    except OSError:
        told = None
    return (told.st_ino, told.st_size, told.st_mtime_ns) if told else (0, 0, 0)
