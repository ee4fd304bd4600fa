"""Jinja2 as templates get it: sandboxed, strict, bounded, and with values that stay data.

A template sees values, not objects: only the attributes, filters and methods that are listed here exist, and none of them
leads to Python's own. Work is bounded: turns of loops and calls of one rendering together, and the length of every value.
Whatever a template writes goes through the ledger of ``opaque``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import StrictUndefined, Template, nodes, pass_context
from jinja2.environment import TemplateModule
from jinja2.loaders import BaseLoader
from jinja2.runtime import LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from manor.control.templates import jinja_filters
from manor.control.templates.jinja_bounds import bounded, pay, spend
from manor.control.templates.jinja_code import Bounds, DataWriter, FreshTemplate
from manor.control.templates.opaque import LEDGER
from manor.control.templates.tenant_names import FIELDS
from manor.control.templates.tenant_view import TenantView
from manor.errors import InputError
from manor.scan import suggest

MAX_RANGE = 10_000
_TESTS_LEFT_OUT = frozenset({"callable", "escaped", "filter", "test"})


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_METHODS: Mapping[type, frozenset[str]] = {
    str: _words(
        "capitalize count endswith find index isalnum isalpha isdigit islower isnumeric isspace istitle isupper lower lstrip "
        "removeprefix removesuffix rsplit rstrip split splitlines startswith strip swapcase title upper"
    ),
    dict: _words("get items keys values"),
    list: _words("count index"),
    tuple: _words("count index"),
    dt.datetime: _words("date day hour isoformat minute month second year"),
    dt.date: _words("day isoformat month year"),
    LoopContext: _words("changed cycle depth depth0 first index index0 last length nextitem previtem revindex revindex0"),
}


class TemplateSandbox(ImmutableSandboxedEnvironment):
    """The environment of all templates of one engine."""

    code_generator_class = DataWriter
    template_class = FreshTemplate
    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def __init__(self, loader: BaseLoader, *, cache_size: int) -> None:
        super().__init__(
            loader=loader,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
            finalize=_write,
            cache_size=cache_size,
            auto_reload=False,
            optimized=False,  # constants are worked out while a template renders, under its bounds
        )
        self.globals = {"range": _range, "namespace": Namespace}
        self.filters = jinja_filters.table()
        self.tests = {name: test for name, test in self.tests.items() if name not in _TESTS_LEFT_OUT}
        self.concat = _capture  # type: ignore[method-assign]

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = Bounds().visit(super()._parse(source, name, filename))
        return tree

    def get_template(self, *args: Any, **kwargs: Any) -> Template:
        """A template; one that another one includes costs a step."""
        spend(1)
        return super().get_template(*args, **kwargs)

    def select_template(self, *args: Any, **kwargs: Any) -> Template:
        """The first template that exists; costs a step."""
        spend(1)
        return super().select_template(*args, **kwargs)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``obj.attribute``: a field, a key, or one of the listed methods."""
        if type(obj) is TenantView:
            known = obj.known
            return known[attribute] if attribute in known else self._field(obj, attribute)
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """``obj[argument]``."""
        if type(obj) is TenantView:
            return self._field(obj, argument)
        return super().getitem(obj, argument)

    def _field(self, view: TenantView, name: Any) -> Any:
        try:
            return view.field(name)
        except (KeyError, TypeError):
            hint = suggest(str(name), FIELDS)
        return self.undefined(f"tenant has no field {name!r}{f', {hint}' if hint else ''}", name=str(name))

    def wrap_str_format(self, value: Any) -> None:
        """``format`` is not among the methods of a text: it could be made to fill the memory."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Only what is listed."""
        if isinstance(obj, (Namespace, TemplateModule)):
            return not attr.startswith("_") and (value is None or isinstance(value, (Macro, str, int, float, list, dict)))
        kind = str if isinstance(obj, str) else type(obj)
        return attr in _METHODS.get(kind, ())

    def is_safe_callable(self, obj: Any) -> bool:
        """Not classes, one aside; everything else was let through by ``is_safe_attribute`` or is a template's own."""
        return obj is Namespace or (not isinstance(obj, type) and super().is_safe_callable(obj))

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a macro or a method; costs a step, and what goes in and comes out."""
        spend(1)
        pay((getattr(__obj, "__self__", None), args, kwargs))
        return pay(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic on numbers, ``+`` also on texts and lists, both bounded."""
        numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
        if not numbers and (operator != "+" or isinstance(left, Undefined) or isinstance(right, Undefined)):
            return _refuse_operator(operator, left, right)
        if operator == "**" and (abs(left) > 1_000_000 or abs(right) > 64):
            raise InputError(f"{left} ** {right} is too large")
        return bounded(super().call_binop(context, operator, left, right))


def _refuse_operator(operator: str, left: Any, right: Any) -> Any:
    for side in (left, right):
        if isinstance(side, Undefined):
            return str(side)  # raises, and says what is undefined
    kinds = f"{type(left).__name__} and {type(right).__name__}"
    raise InputError(f"{operator} works on numbers, found {kinds}", hint="join texts with ~")


@pass_context
def _write(_context: Any, value: Any) -> str:
    """What is written at ``{{ … }}``; with a context, so that Jinja2 does not write constants when it compiles."""
    if type(value) is str:
        return LEDGER.get().mark(value)
    return (
        str(value) if isinstance(value, Undefined) else LEDGER.get().write(pay(value))
    )  # str of it raises, and says what it is


def _capture(parts: Iterable[str]) -> str:
    return LEDGER.get().capture(parts)


def _range(*bounds: int) -> range:
    made = range(*bounds)
    if len(made) > MAX_RANGE:
        raise InputError(f"a range of {len(made):,} numbers, {MAX_RANGE:,} are allowed")
    return made
