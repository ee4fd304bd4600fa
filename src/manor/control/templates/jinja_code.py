"""What templates are compiled to: loops, texts and lists under the bounds of a rendering, and every value written as data."""

from __future__ import annotations

import math
from typing import Any

from jinja2 import Template, TemplateSyntaxError, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.environment import TemplateModule
from jinja2.visitor import NodeTransformer


class DataWriter(CodeGenerator):
    """``{% filter %}`` and ``{% call %}`` write what they get as ``{{ … }}`` does; Jinja2 puts it into the text as it is."""

    def visit_FilterBlock(self, node: nodes.FilterBlock, frame: Frame) -> None:
        """What a filter returns is a value."""
        inner = frame.inner()
        inner.symbols.analyze_node(node)
        self.enter_frame(inner)
        self.buffer(inner)
        self.blockvisit(node.body, inner)
        self._begin_value(frame, node)
        self.visit_Filter(node.filter, inner)
        self._end_value(frame)
        self.leave_frame(inner)

    def visit_CallBlock(self, node: nodes.CallBlock, frame: Frame) -> None:
        """So is what is called, which need not be a macro."""
        body, macro = self.macro_body(node, frame)
        self.writeline("caller = ")
        self.macro_def(macro, body)
        self._begin_value(frame, node)
        self.visit_Call(node.call, frame, forward_caller=True)
        self._end_value(frame)

    def _begin_value(self, frame: Frame, node: nodes.Node) -> None:
        self.start_write(frame, node)
        self.write("environment.finalize(context, ")

    def _end_value(self, frame: Frame) -> None:
        self.write(")")
        self.end_write(frame)


class FreshTemplate(Template):
    """A template that is imported, or included without context, renders each time anew: Jinja2 would keep what it made of the
    first tenant for the next one."""

    def _get_default_module(self, _ctx: Any = None) -> TemplateModule:
        return self.make_module()


class Bounds(NodeTransformer):
    """Puts the turns of loops, the joining of texts and the making of lists under the bounds of a rendering."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        """A loop goes through a list that was paid for."""
        if node.recursive:
            raise TemplateSyntaxError("a loop cannot be recursive here", node.lineno)
        self.generic_visit(node)
        node.iter = _filtered(node.iter, "_turns")
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        """``~`` is bounded."""
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), "_joined")

    def visit_List(self, node: nodes.List) -> nodes.Node:
        """A list of lists of lists may be much larger than it looks."""
        self.generic_visit(node)
        return node if _constant(node.items) else _filtered(node, "_made")

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        """As a list."""
        self.generic_visit(node)
        return node if _constant([pair.value for pair in node.items]) else _filtered(node, "_made")

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        """As a list, unless names are set by it."""
        self.generic_visit(node)
        return node if node.ctx != "load" or _constant(node.items) else _filtered(node, "_made")

    def visit_Const(self, node: nodes.Const) -> nodes.Node:
        """``1e400`` is no number."""
        if isinstance(node.value, float) and not math.isfinite(node.value):
            raise TemplateSyntaxError("a number is too large", node.lineno)
        return node


def _constant(items: list[nodes.Expr]) -> bool:
    return all(isinstance(item, nodes.Const) for item in items)


def _filtered(value: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(value, name, [], [], None, None, lineno=value.lineno)
