"""Where settings come from: a TOML file, then the environment, then flags (the last one wins)."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from streaming.errors import SettingsError
from streaming.settings import Settings, one_line, parse_settings, revealed
from streaming.settings_tree import MASK, at, leaves

ENV_PREFIX = "PENSTOCK_"
CONFIG_VARIABLE = "PENSTOCK_CONFIG"
MOVED_VARIABLE = "PENSTOCK_MOVED_FLAGS"
"""Names the variables whose values were flags: see `service/argv.py`."""
_COMMAND_LINES = {CONFIG_VARIABLE, MOVED_VARIABLE, *(f"{ENV_PREFIX}{name}" for name in ("URL", "TOKEN", "CACERT"))}
_KUBERNETES = re.compile(  # for a Service whose name begins so
    ENV_PREFIX + r"(?:[A-Z0-9]+_)*"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT|PORT_\d+_(?:TCP|UDP|SCTP)(?:_PROTO|_PORT|_ADDR)?)"
)
Source = Literal["default", "file", "environment", "flag", "api"]


class Given(NamedTuple):
    """A value that somebody gave a setting. text: as it was given; a secret's is masked."""

    source: Source
    text: str


Origins = Mapping[str, tuple[Given, ...]]  # by the setting's name, the one that wins first; without any: the default
NOTHING_GIVEN: Origins = MappingProxyType({})


class Loaded(NamedTuple):
    """The settings, and who gave which of them."""

    settings: Settings
    origins: Origins


def load_settings(file: Path | None = None, flags: Mapping[str, Any] | None = None) -> Settings:
    """What `load` finds, without where it comes from."""
    return load(file, flags).settings


def load(file: Path | None = None, flags: Mapping[str, Any] | None = None) -> Loaded:
    """Merge file, environment and flags, the last one wins.

    file: a TOML file; else the one that PENSTOCK_CONFIG names. flags: nested like the tree,
    `{"kafka": {"topic": "t"}}`. A variable ending in `_FILE` names a file that holds the value.
    Raises SettingsError: one line naming the setting.
    """
    file = file or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    read: dict[Source, Mapping[str, Any]] = {"flag": flags or {}}

    class Sourced(Settings, BaseSettings):
        model_config = SettingsConfigDict(
            env_prefix=ENV_PREFIX,
            env_nested_delimiter="__",
            extra="forbid",
            frozen=True,
            hide_input_in_errors=True,
            nested_model_default_partial_update=True,
        )

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            environment = _Environment(settings_cls)
            read["environment"] = environment()
            if file is None:
                return init_settings, environment
            toml = _Toml(settings_cls, file)
            read["file"] = toml()
            return init_settings, environment, toml

    try:
        sourced = Sourced(**(flags or {}))
    except ValidationError as error:
        raise SettingsError(one_line(error)) from error
    settings = parse_settings(revealed(sourced))
    return Loaded(settings, _origins(settings, read))


def _origins(settings: Settings, read: Mapping[Source, Mapping[str, Any]]) -> Origins:
    """read: what each source says, nested; the one that wins first."""
    found = {}
    variables, moved = secret_variables(), os.environ.get(MOVED_VARIABLE, "").split(",")
    for leaf in leaves(settings):
        values = [(source, at(tree, leaf.name)) for source, tree in read.items()]
        given = [Given(source, MASK if leaf.secret else str(value)) for source, value in values if value is not None]
        if variables.get(leaf.name) in moved:
            given = [each._replace(source="flag") if each.source == "environment" else each for each in given]
        if given:
            found[leaf.name] = tuple(given)
    return found


def secret_variables() -> dict[str, str]:
    """Each secret's name, such as service.token -> the environment variable that may hold it."""
    return {".".join(path): ENV_PREFIX + "__".join(path).upper() for path in _secrets(Settings, ())}


def _secrets(group: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, field in group.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _secrets(field.annotation, (*path, name))
        elif SecretStr in (field.annotation, *get_args(field.annotation)):
            yield (*path, name)


class _Toml(TomlConfigSettingsSource):
    def _read_files(self, files: Any, *args: Any, **options: Any) -> dict[str, Any]:
        try:
            return tomllib.loads(Path(files).read_text())
        except OSError as error:
            raise SettingsError(f"--config {files}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"--config {files}: not valid TOML: {error}") from error


class _Environment(EnvSettingsSource):
    """PENSTOCK_<GROUP>__<NAME>; `…_FILE` names a file that holds the value; an unknown one is refused."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        found: dict[str, str | None] = {}
        for name, value in super()._load_env_vars().items():
            variable = name.upper()
            if not variable.startswith(ENV_PREFIX) or variable in _COMMAND_LINES or _KUBERNETES.fullmatch(variable):
                continue
            path = name.lower().removeprefix(ENV_PREFIX.lower()).split("__")
            if path[-1].endswith("_file") and not _is_setting(path):
                path[-1] = path[-1].removesuffix("_file")
                name, value = name[: -len("_file")], _content(variable, value)
            if not _is_setting(path):
                raise SettingsError(
                    f"{variable}: unknown setting {'.'.join(path)}; a variable is named {ENV_PREFIX}<GROUP>__<NAME>"
                )
            found[name] = value
        return found


def _content(variable: str, file: str | None) -> str:
    try:
        return Path(file or "").read_text().strip()
    except OSError as error:
        raise SettingsError(f"{variable}: {file}: {error.strerror}") from error


def _is_setting(path: list[str]) -> bool:
    fields = Settings.model_fields
    for name in path[:-1]:
        kind = fields[name].annotation if name in fields else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return False
        fields = kind.model_fields
    leaf = fields.get(path[-1])
    return leaf is not None and not (isinstance(leaf.annotation, type) and issubclass(leaf.annotation, BaseModel))
