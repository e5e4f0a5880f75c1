"""Schemas of requests as components of the description: our fields declare what they take, apispec does the rest."""

from __future__ import annotations

from typing import Any

from apispec.ext.marshmallow import MarshmallowPlugin, resolver
from apispec.ext.marshmallow.common import make_schema_key

from gateway.openapi.words import words_of
from gateway.schemas.json_schema import NO_ITEMS, nullable
from gateway.schemas.objects import Lenient, Member

_PLAIN = bool | int | float | str


class SchemaPlugin(MarshmallowPlugin):
    """apispec's, which reads `json_schema` of our fields. Call `finish` with what `APISpec.to_dict` returns."""

    def __init__(self) -> None:
        super().__init__(schema_name_resolver=_name)

    def init_spec(self, spec: Any) -> None:
        super().init_spec(spec)
        assert self.converter
        self.converter.add_attribute_function(_declared)  # type: ignore[no-untyped-call]  # it has no annotations

    def component(self, schema: Lenient, name: str) -> str:
        """The name of the component that a schema is, or becomes: this one, where it is not another's."""
        assert self.converter
        assert self.spec
        if (key := make_schema_key(schema)) not in self.converter.refs:
            taken = name in self.spec.components.schemas
            self.spec.components.schema(f"{resolver(type(schema))}Request" if taken else name, schema=schema)
        found: str = self.converter.refs[key]
        return found

    def finish(self, document: dict[str, Any], said: dict[str, str]) -> None:
        """Let `null` be allowed wherever it means "not given", and no key that is not named, but where any is; and tell
        what the docs say of each parameter. `said` names the formats that a component is the body of."""
        assert self.converter
        schemas = document["components"]["schemas"]
        for key, name in self.converter.refs.items():
            described = schemas[name]
            required = described.get("required", ())
            described.setdefault("additionalProperties", False)
            described["properties"] = {
                name: one if name in required else nullable(one) for name, one in described["properties"].items()
            }
            if named := getattr(key[0], "named", ()):
                described["required"] = [*required, *named]
        for name, formats in said.items():
            _annotate(schemas[name], words_of(formats), "", schemas)


def _name(schema: Any) -> str:
    """That of an object within a request."""
    return f"{resolver(schema)}Param"


def _declared(converter: object, field: Any, ret: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(ret.get("default"), _PLAIN) or ret["default"] == "":  # what we take for it, and nobody sends
        ret.pop("default", None)
    if isinstance(field, Member) and not field.parameters.described["required"]:
        return {"anyOf": [{"$ref": ret.pop("$ref")}, NO_ITEMS]}
    found: dict[str, Any] = {} if isinstance(field, Member) else getattr(field, "json_schema", {})
    return found


def _annotate(schema: Any, words: dict[str, str], path: str, schemas: dict[str, Any]) -> None:
    """Put the words for what is within `path` where they belong, of what is told already none; and all in their order,
    but what is required first."""
    if not isinstance(schema, dict):
        return
    if "$ref" in schema:
        _annotate(schemas[schema["$ref"].rpartition("/")[2]], words, path, schemas)
    if "properties" in schema:
        prefix, required = f"{path}." if path else "", schema.get("required", ())
        within = schema["properties"]
        told = [name.removeprefix(prefix) for name in words if name.startswith(prefix)]
        names = [*(name for name in told if name in within), *(name for name in within if name not in told)]
        schema["properties"] = {name: within[name] for name in sorted(names, key=lambda name: name not in required)}
        for name, one in schema["properties"].items():
            if prefix + name in words and isinstance(one, dict):
                one.setdefault("description", words[prefix + name])
            _annotate(one, words, prefix + name, schemas)
    for one in schema.get("anyOf", ()):
        _annotate(one, words, path, schemas)
    if "items" in schema:
        _annotate(schema["items"], words, f"{path}[]", schemas)
