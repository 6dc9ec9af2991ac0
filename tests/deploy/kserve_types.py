"""KServe's types as its Python package has them: manifests are held against their names, kinds and required fields.

The package itself isn't imported, only `kserve.models`: the rest needs pandas, FastAPI and more. What Kubernetes
defines within KServe's types is held against Kubernetes's schemas.
"""

import functools
import importlib
import importlib.util
import inspect
import json
import re
import sys
import types
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
from referencing import Registry, Resource

_SIMPLE = {"str": str, "int": int, "bool": bool, "float": float, "object": object}


def validate(manifest: dict[str, Any], kubernetes_version: str) -> None:
    """Raises AssertionError or jsonschema's ValidationError where the manifest isn't of KServe's type for its kind."""
    group, version = manifest["apiVersion"].split("/")
    assert group == "serving.kserve.io"
    _check(manifest, f"{version.capitalize()}{manifest['kind']}", kubernetes_version, manifest["kind"])


def _models() -> types.ModuleType:
    if "kserve" not in sys.modules:
        found = importlib.util.find_spec("kserve")
        package = types.ModuleType("kserve")
        package.__path__ = list(found.submodule_search_locations)
        sys.modules["kserve"] = package
    return importlib.import_module("kserve.models")


def _check(value: Any, kind: str, version: str, place: str) -> None:
    if inner := re.fullmatch(r"list\[(.*)\]", kind):
        assert isinstance(value, list), f"{place} is no list"
        for number, item in enumerate(value):
            _check(item, inner[1], version, f"{place}[{number}]")
    elif inner := re.fullmatch(r"dict\((.*), (.*)\)", kind):
        assert isinstance(value, dict), f"{place} is no mapping"
        for key, item in value.items():
            _check(item, inner[2], version, f"{place}.{key}")
    elif kind in _SIMPLE:
        assert isinstance(value, _SIMPLE[kind]), f"{place} is no {kind}"
    elif model := getattr(_models(), kind, None):
        _check_model(value, model, version, place)
    else:
        _check_kubernetes(value, kind, version)


def _check_model(value: Any, model: type, version: str, place: str) -> None:
    assert isinstance(value, dict), f"{place} is no mapping"
    names = {model.attribute_map[attribute]: attribute for attribute in model.openapi_types}
    for name, item in value.items():
        assert name in names, f"{place} has no {name}"
        _check(item, model.openapi_types[names[name]], version, f"{place}.{name}")
    assert _required(model) <= value.keys(), f"{place} lacks {_required(model) - value.keys()}"


def _required(model: type) -> set[str]:
    """The fields whose setters refuse None, which is how the generated code says so."""
    return {
        name
        for attribute, name in model.attribute_map.items()
        if "must not be `None`" in inspect.getsource(getattr(model, attribute).fset)
    }


def _check_kubernetes(value: Any, kind: str, version: str) -> None:
    definitions = _definitions(version)
    ending = "." + kind.removeprefix("V1")
    [name] = [name for name in definitions["$defs"] if name.endswith(ending) and ".v1." in name]
    registry = Resource.from_contents(definitions) @ Registry()
    schema = {"$ref": f"{definitions['$id']}#/$defs/{name}"}
    jsonschema.Draft202012Validator(schema, registry=registry).validate(value)


@functools.cache
def _definitions(version: str) -> dict[str, Any]:
    root = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    [file] = root.glob(f"v{version}.*-local-strict/_definitions.json")
    return json.loads(file.read_text())
