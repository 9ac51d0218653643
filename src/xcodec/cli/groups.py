"""Options in groups: a command takes a dataclass, and each of its fields is an option."""

from collections.abc import Callable
from copy import copy
from dataclasses import fields, is_dataclass
from inspect import Parameter, Signature, signature
from typing import Any

__all__ = ["retold", "with_groups"]


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take options in groups: a parameter that is a dataclass becomes an option for each of its fields.

    Typer makes options of what a function's signature says. So the function that is returned has a signature with the
    fields in place of the dataclasses; called, it makes the dataclasses of them, and calls the command.
    """
    own = parameters_of(command)
    groups: dict[str, Any] = {each.name: each.annotation for each in own if is_dataclass(each.annotation)}
    parameters: list[Parameter] = []
    for parameter in own:
        parameters += parameters_of(groups[parameter.name]) if parameter.name in groups else [parameter]

    def run(**given: Any) -> None:
        for name, kind in groups.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
        command(**given)

    run.__doc__ = command.__doc__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return run


def parameters_of(owner: Callable[..., Any]) -> list[Parameter]:
    """The parameters of a function, or the fields of a dataclass, as keywords with what is told to typer of each.

    `typing.get_type_hints` would hide that of a parameter whose default is None, on Python 3.10.
    """
    found = signature(owner, eval_str=True).parameters.values()
    return [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in found]


def retold(option: Any, text: str) -> Any:
    """The same option with another text in `--help`, for a command in which it means something more."""
    again = copy(option)
    again.help = text
    return again
