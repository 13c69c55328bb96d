"""Where settings come from: a file, the environment over it, mounted secret files over both.

Each source becomes a tree of plain mappings. Whatever cannot be read is a fault with a place; no fault holds
a value.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml
from pydantic_settings import EnvSettingsSource

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo
    from pydantic_settings import BaseSettings

PREFIX = "GATEWAY_"
FILE_VARIABLE = "GATEWAY_CONFIG"
MOUNT_VARIABLE = "GATEWAY_SECRETS_DIR"
DEFAULT_FILE = Path("config/gateway.yaml")

_NESTING = "__"
_MOUNTED_BYTES = 65_536
_UNREADABLE = "mounted secret cannot be read as text"
# Kubernetes puts these into every pod of a namespace that has a service called "gateway".
_SERVICE_LINK = re.compile(r"gateway_(.*_)?(service_host|service_port(_.*)?|port(_\d+_(tcp|udp|sctp)(_.*)?)?)")

Tree = Mapping[str, object]
Fault = tuple[str, str]


class ConfigurationError(Exception):
    """The configuration cannot be used. `faults` are all mistakes as (dotted path, message), without values."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(f"{path}: {message}" for path, message in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What was found: `file` alone and `tree`, all sources merged, read from `files`; `faults` is what could not be
    read."""

    file: Tree
    tree: Tree
    files: tuple[Path, ...] = ()
    faults: tuple[Fault, ...] = ()


def collect(model: type[BaseModel], path: Path | None, environ: Mapping[str, str]) -> Sources:
    """Read all sources of `model`. The file is `path`, else the one named by the environment, else the default.

    `ConfigurationError` when the file cannot be read at all.
    """
    path = path or Path(environ.get(FILE_VARIABLE) or DEFAULT_FILE)
    file = read_file(path)
    mounted, faults = _mounted(environ.get(MOUNT_VARIABLE))
    variables = _variables(environ, frozenset(model.model_fields))
    tree: Tree = file
    for flat, prefix in ((variables, PREFIX), (mounted, "")):
        tree = _merged(_merged(tree, _FlatSource(model, flat, prefix)()), _strays(model, flat, prefix))
    files = (path, *_secret_files(environ.get(MOUNT_VARIABLE)))
    return Sources(file=file, tree=tree, files=files, faults=faults)


def read_file(path: Path) -> Tree:
    """The mapping in a YAML file; `ConfigurationError` says where it is broken, never what it says there."""
    try:
        tree = yaml.load(path.read_bytes(), _StrictLoader)  # noqa: S506 -- a SafeLoader that also refuses duplicates
    except OSError:
        raise ConfigurationError(((str(path), "cannot be read"),)) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigurationError(((str(path), _syntax(error)),)) from None
    if not isinstance(tree, dict | None):
        raise ConfigurationError(((str(path), "must hold a mapping"),))
    return tree or {}


def _syntax(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    what = "has a key twice" if isinstance(error, _DuplicateKeyError) else "is not YAML"
    return what + where


class _DuplicateKeyError(yaml.MarkedYAMLError):
    pass


class _StrictLoader(yaml.SafeLoader):
    """YAML lets a later key silently replace an earlier one: a typo that could switch a protection off."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 -- as in the base
        seen = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise _DuplicateKeyError(problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _FlatSource(EnvSettingsSource):
    """Names like ``store__url`` to a tree. What is not JSON where JSON is due stays text: the model's own check
    then names it together with every other mistake."""

    def __init__(self, model: type[BaseModel], flat: Mapping[str, str], prefix: str) -> None:
        self._flat = flat
        super().__init__(
            # Only the fields are read. Settings that are `BaseSettings` would read the environment when made.
            cast("type[BaseSettings]", model),
            case_sensitive=False,
            env_prefix=prefix,
            env_nested_delimiter=_NESTING,
        )

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._flat

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ANN401 -- as in the base
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


def _variables(environ: Mapping[str, str], sections: frozenset[str]) -> dict[str, str]:
    lower = {name.lower(): value for name, value in environ.items() if name.upper().startswith(PREFIX)}
    for name in (FILE_VARIABLE, MOUNT_VARIABLE):
        lower.pop(name.lower(), None)
    return {
        name: value
        for name, value in lower.items()
        if _NESTING in name or name.removeprefix(PREFIX.lower()) in sections or not _SERVICE_LINK.fullmatch(name)
    }


def _strays(model: type[BaseModel], flat: Mapping[str, str], prefix: str) -> Tree:
    """Names that begin with no setting: kept, so that the model refuses them by name."""
    heads = (name.removeprefix(prefix.lower()).split(_NESTING)[0] for name in flat)
    return {head: None for head in heads if head not in model.model_fields}


def _mounted(directory: str | None) -> tuple[dict[str, str], tuple[Fault, ...]]:
    if directory and not Path(directory).is_dir():
        return {}, ((MOUNT_VARIABLE, _UNREADABLE),)
    found = {file.name: _secret(file) for file in _secret_files(directory)}
    return (
        {name.lower(): text for name, text in found.items() if text is not None},
        tuple((name, _UNREADABLE) for name, text in found.items() if text is None),
    )


def _secret_files(directory: str | None) -> list[Path]:
    """Every mounted secret. Files without ``__`` in their names, such as certificates, may lie in the same mount."""
    try:
        return (
            sorted(file for file in Path(directory).iterdir() if _NESTING in file.name and file.name[0] != ".")
            if directory
            else []
        )
    except OSError:
        return []


def _secret(file: Path) -> str | None:
    try:
        with file.open("rb") as stream:
            content = stream.read(_MOUNTED_BYTES + 1)
        text = content.decode()
    except (OSError, ValueError):
        return None
    return None if len(content) > _MOUNTED_BYTES else text.removesuffix("\n").removesuffix("\r")


def _merged(below: Tree, above: Tree) -> Tree:
    tree = dict(below)
    for key, value in above.items():
        old = tree.get(key)
        tree[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return tree
