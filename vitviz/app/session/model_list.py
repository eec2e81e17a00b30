"""The models that can be chosen, read in a thread and cached; what is recommended; and the deletion of weights."""

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal

from vitviz.app.session.model_memory import ModelMemory
from vitviz.app.work.worker import Ticket, Worker
from vitviz.models import hub
from vitviz.models.hub import HubFacts
from vitviz.models.listing import (
    ListedModel,
    Recommended,
    listed_models,
    recent_models,
    recommended_models,
)


@dataclass(frozen=True)
class ModelLists:
    """What the model browser lists."""

    all: tuple[ListedModel, ...]
    """Bundled models first, then timm's, then those that cannot be shown."""
    recommended: tuple[tuple[Recommended, ListedModel], ...]
    recent: tuple[ListedModel, ...]


@dataclass(frozen=True)
class Recommendations:
    """Good first models, and whether the hub answers."""

    models: tuple[tuple[Recommended, ListedModel], ...]
    online: bool


class ModelList(QObject):
    """Reads the lists again at each request, because weights may be added or deleted; gives the cached lists first."""

    deleted = Signal(str, object)  # source, the bytes that were freed
    learned = Signal()  # `facts` has more

    def __init__(self, memory: ModelMemory, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._memory = memory
        self._worker = Worker("catalog", self)
        self._recommending = Worker("recommended", self)
        self._deleting = Worker("delete", self)
        self._asking = Worker("hub", self)
        self._known: ModelLists | None = None
        self.facts: dict[str, HubFacts] = {}
        """What the hub said in this session, by repository."""

    def ask(
        self, done: Callable[[ModelLists], None], failed: Callable[[BaseException], None]
    ) -> Callable[[], None]:
        """Call `done` with the cached lists, and again if they have changed; returns a function that cancels the request."""
        recent = self._memory.recent()

        def take(lists: ModelLists) -> None:
            if lists != self._known:
                self._known = lists
                done(lists)

        if self._known is not None:
            done(self._known)
        self._worker.submit(lambda ticket: catalog(ticket, recent), take, failed)
        return self._worker.cancel

    def recommend(self, done: Callable[[Recommendations], None]) -> None:
        """Call `done` with the recommended models, and whether the hub answers. The last request is answered."""
        self._recommending.submit(recommendations, done, lambda _: None)

    def ask_hub(self, model: ListedModel) -> None:
        """Ask the hub about a model that is to be downloaded, once, and emit `learned` if it answers."""
        known = model.known
        if (
            known is None
            or not known.hub
            or model.state not in ("download", "partly")
            or known.hub in self.facts
        ):
            self._asking.cancel()
            return

        def learn(found: HubFacts | None) -> None:
            if found is not None:
                self.facts[known.hub] = found
                self.learned.emit()

        self._asking.submit(lambda _: hub.hub_facts(known.config), learn, lambda _: None)

    def delete(self, model: ListedModel, failed: Callable[[BaseException], None]) -> None:
        """Delete the cached weights of a model, or what was kept of its download; then emit `deleted`."""
        known = model.known
        if known is not None:
            self._deleting.submit(
                lambda _: hub.delete_weights(known.config),
                lambda freed: self.deleted.emit(model.source, freed),
                failed,
            )

    def close(self) -> None:
        """End the threads."""
        for worker in (self._worker, self._recommending, self._deleting, self._asking):
            worker.close()


def catalog(_: Ticket, recent: list[str]) -> ModelLists:
    """All lists. Imports neither torch nor timm, unless timm is of another version than the shipped table."""
    return ModelLists(tuple(listed_models()), tuple(recommended_models()), tuple(recent_models(recent)))


def recommendations(_: Ticket) -> Recommendations:
    """The recommended models; the hub is asked for an answer only if one of them is to be downloaded."""
    models = tuple(recommended_models())
    return Recommendations(models, all(one.here for _, one in models) or hub.is_online())
