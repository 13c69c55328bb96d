"""What the settings of one section say of each other: all of it at once, and at once with what is wrong with each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BaseModel, TypeAdapter, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import ModelWrapValidatorHandler
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

Relation = Callable[[Any], object]


class Related(BaseModel):
    """`relations` are checks over several settings; each raises `ValueError` (``field: message``) where they do not
    fit. One that needs a setting which is wrong by itself is left out: nobody knows what was meant."""

    relations: ClassVar[tuple[Relation, ...]] = ()

    @model_validator(mode="wrap")
    @classmethod
    def _every_fault(cls, said: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401 -- as the library has it
        try:
            made = handler(said)
        except ValidationError as error:
            if not isinstance(said, dict):
                raise
            single = error.errors(include_url=False)
            broken = list(_broken(_sound(cls, said, {str(detail["loc"][0]) for detail in single})))
            if not broken:
                raise
            faults = [*(_again(detail) for detail in single), *(_fault(one) for one in broken)]
        else:
            faults = [_fault(one) for one in _broken(made)]
        if faults:
            raise ValidationError.from_exception_data(cls.__name__, faults, hide_input=True)
        return made


def _broken(made: Related) -> Iterator[ValueError]:
    for relation in type(made).relations:
        try:
            relation(made)
        except AttributeError:  # it needs what is not there
            continue
        except ValueError as broken:
            yield broken


def _sound(cls: type[Related], said: Mapping[str, object], wrong: set[str]) -> Related:
    """Only the settings that are fine by themselves; asking it for another one is an `AttributeError`."""
    fields = cls.model_fields if cls.relations else {}
    values = {
        name: _field(field).validate_python(said[name])
        for name, field in fields.items()
        if name in said and name not in wrong
    }
    made = cls.model_construct(**values)
    for name in wrong:
        made.__dict__.pop(name, None)
    return made


def _field(field: FieldInfo) -> TypeAdapter[Any]:
    return TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type]  # a type that is known at run time


def _again(detail: ErrorDetails) -> InitErrorDetails:
    """Not every kind of fault can be made anew by its name."""
    words = {name: value for name, value in detail.get("ctx", {}).items() if name != "error"}
    kind = PydanticCustomError(detail["type"], "{msg}", {**words, "msg": detail["msg"]})
    return InitErrorDetails(type=kind, loc=detail["loc"], input=detail["input"])


def _fault(broken: ValueError) -> InitErrorDetails:
    return InitErrorDetails(type="value_error", loc=(), input=None, ctx={"error": broken})
