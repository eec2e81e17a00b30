"""What is remembered of models between starts: which were opened last, and the settings of each."""

from vitviz.app.settings import Settings
from vitviz.models.listing import BUNDLED
from vitviz.models.settings import ModelSettings, settings_from

_RECENT = "models"
_SETTINGS = "model_settings"
_MOST = 100
"""Models whose settings are kept."""


class ModelMemory:
    """Recent models and their settings, in the settings file; without a file, only for this start."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings
        self._chosen: dict[str, ModelSettings] = {}
        if settings is not None:
            self._chosen = {
                source: settings_from(stored) for source, stored in settings.choices(_SETTINGS).items()
            }

    def of(self, source: str) -> ModelSettings:
        """The settings that a model was loaded with last."""
        return self._chosen.get(source, ModelSettings())

    def remember(self, source: str, chosen: ModelSettings) -> None:
        """Keep the settings of a model; those that are all its own are forgotten."""
        self._chosen.pop(source, None)
        if chosen != ModelSettings():
            self._chosen[source] = chosen
        self._chosen = dict(list(self._chosen.items())[-_MOST:])
        if self._settings is not None:
            self._settings.put_choices(
                _SETTINGS, {source: one.stored() for source, one in self._chosen.items()}
            )

    def add_recent(self, source: str) -> None:
        """A model was opened. Bundled ones are always listed and not kept."""
        if self._settings is not None and source and source not in BUNDLED:
            self._settings.remember(_RECENT, source)

    def recent(self) -> list[str]:
        """The sources of the models that were opened last, newest first."""
        return [] if self._settings is None else self._settings.names(_RECENT)
