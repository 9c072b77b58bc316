"""Follows the registry for the model server: loads what its aliases name, and the challenger of an announced challenge.

Leaves out downloads and their verification (`source`), and answers (`model_server`).
"""

import logging
from typing import Protocol

from prometheus_client import Gauge

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.exposition import COUNTED
from workloads.lifecycle.base.mlflow_api import RegistryDownError
from workloads.lifecycle.base.settings import ServingSettings
from workloads.lifecycle.registry.challenge import Challenge
from workloads.lifecycle.serving.challenger import Challengers, note_announced
from workloads.lifecycle.serving.source import Loaded, NoCopyError, RegistrySource

CHAMPION, CHALLENGER = "champion", "challenger"
_log = logging.getLogger(__name__)
_VERSIONED = [metrics.LABEL_ALIAS, metrics.LABEL_VERSION]
_wanted = Gauge(metrics.MODEL_WANTED, "Version that the registry wants an alias to serve", _VERSIONED, registry=COUNTED)
_missing = Gauge(metrics.CHAMPION_MISSING, "A model serves and the registry has no champion", registry=COUNTED)
_pinned = Gauge(metrics.MODEL_PINNED, "Version that the settings pin", [metrics.LABEL_VERSION], registry=COUNTED)
_cached = Gauge(metrics.MODEL_FROM_CACHE, "A verified copy from the cache answers", registry=COUNTED)


class Serves(Protocol):
    """The model, as its watcher needs it."""

    def serve(self, loaded: dict[str, Loaded], challenge: Challenge | None = None) -> None:
        """Answer with these models from now on."""
        ...

    def explain(self, why: str) -> None:
        """Why there is no model."""
        ...


class Watcher:
    """Follows the registry's aliases, unless one version is pinned; what cannot be verified never replaces what was.

    A model that serves without the registry's word (from the cache, or after its champion was deleted) is unconfirmed:
    it serves on, and is loaded anew once the registry names a champion, also under the same version.
    """

    def __init__(
        self, model: Serves, source: RegistrySource, settings: ServingSettings, challengers: Challengers | None = None
    ) -> None:
        """`challengers`: says which challenge is admitted; None admits none."""
        self._model = model
        self._challengers = challengers
        self._challenge: Challenge | None = None
        self._source = source
        self._pinned = settings.model_version
        _pinned.clear()
        if self._pinned is not None:
            _pinned.labels(self._pinned).set(1)
        self._loaded: dict[str, Loaded] = {}
        self._remembered: dict[str, Loaded] = {}
        self._wanted: dict[str, str] = {}
        self._unconfirmed: set[str] = set()
        self._from_cache = False
        self._no_copy = ""  # why the cache gave no champion, once it was asked

    def look(self) -> None:
        """Look once; without a champion from the registry, serve the last verified copy.

        Raises RegistryDownError when the registry does not answer, OSError when a served model cannot be cached.
        """
        try:
            wanted, challenge = self._looked()
        except RegistryDownError as error:
            self._bridge(str(error))
            raise
        loaded, outage = self._load(wanted)
        if loaded != self._loaded or challenge != self._challenge:
            self._serve(loaded, challenge)
        if CHAMPION not in loaded:
            self._bridge(self._why_no_champion(wanted, outage))
        self._note_wanted(wanted)
        if outage is not None:
            raise outage
        if self._loaded and self._loaded != self._remembered:
            self._source.remember(self._loaded)
            self._remembered = self._loaded

    def _looked(self) -> tuple[dict[str, str], Challenge | None]:
        """Versions that the registry wants served, and the challenge that a challenger is part of."""
        if self._pinned:
            return {CHAMPION: self._pinned}, None
        wanted = self._source.aliases()
        wanted = {alias: version for alias, version in wanted.items() if alias in (CHAMPION, CHALLENGER)}
        challenge = self._source.challenge
        note_announced(challenge)
        if challenge is not None and self._challengers is not None and self._challengers.admits(challenge):
            compared = {CHAMPION: challenge.champion, CHALLENGER: challenge.version}
            if wanted == compared and challenge.version != challenge.champion:
                return wanted, challenge
        wanted.pop(CHALLENGER, None)
        return wanted, None

    def _load(self, wanted: dict[str, str]) -> tuple[dict[str, Loaded], RegistryDownError | None]:
        """What each alias shall serve now; a version that cannot be had yet leaves what is served."""
        loaded: dict[str, Loaded] = {}
        outage = None
        for alias in (CHAMPION, CHALLENGER):
            served = self._loaded.get(alias)
            try:
                found = self._model_for(alias, wanted.get(alias), served)
            except RegistryDownError as error:
                found, outage = served, error
            if found is not None:
                loaded[alias] = found
            if alias == CHAMPION and found is not None and found != served:
                self._serve({alias: found}, None)  # a challenger's download must not keep the champion waiting
        return loaded, outage

    def _model_for(self, alias: str, version: str | None, served: Loaded | None) -> Loaded | None:
        if version is None:
            self._unconfirmed.add(alias)
            return served if alias == CHAMPION else None
        confirmed = served is not None and served.version == version and alias not in self._unconfirmed
        if served is not None and confirmed and self._source.holds(served):
            return served
        found = self._source.load(version)
        if confirmed and found is not None and served is not None and found.signed == served.signed:
            return served  # its verdict is by the former key still
        if found is not None:
            self._unconfirmed.discard(alias)
        return found if found is not None or alias != CHAMPION else served

    def _bridge(self, why: str) -> None:
        """Without a champion, serve the copy that was verified last; the cache is asked once."""
        if CHAMPION in self._loaded:
            return
        if not self._no_copy:
            try:
                copies = self._source.recall(CHAMPION, self._pinned)
            except NoCopyError as error:
                self._no_copy = str(error)
                _log.warning("no model can be served: %s; %s", why, error)
            else:
                self._unconfirmed, self._from_cache = set(copies), True
                _log.warning("%s; serving the last verified copy from the cache", why)
                self._serve({CHAMPION: copies[CHAMPION]}, None)
                return
        self._model.explain(f"{why}; {self._no_copy}")

    def _why_no_champion(self, wanted: dict[str, str], outage: RegistryDownError | None) -> str:
        if CHAMPION not in wanted:
            return "the registry names no champion"
        version = wanted[CHAMPION]
        return str(outage or f"version {version} is refused: {self._source.why_refused(version)}")

    def _serve(self, loaded: dict[str, Loaded], challenge: Challenge | None) -> None:
        if loaded.get(CHAMPION) is not self._loaded.get(CHAMPION) and self._loaded:
            self._from_cache = False
        self._loaded, self._challenge = loaded, challenge
        self._model.serve(loaded, challenge)
        self._no_copy = ""
        _cached.set(int(self._from_cache))
        _log.info(
            "serving %s", ", ".join(f"{alias} version {item.version}" for alias, item in loaded.items()) or "nothing"
        )

    def _note_wanted(self, wanted: dict[str, str]) -> None:
        """Show what the registry wants beside what is served, and a champion that it does not have any more."""
        for alias, version in self._wanted.items() - wanted.items():
            _wanted.remove(alias, version)
        for alias, version in wanted.items():
            _wanted.labels(alias, version).set(1)
        missing = CHAMPION not in wanted and CHAMPION in self._loaded
        if missing and CHAMPION in self._wanted:
            version = self._loaded[CHAMPION].version
            _log.error("the registry has no champion any more; version %s keeps serving", version)
        _missing.set(int(missing))
        self._wanted = wanted
