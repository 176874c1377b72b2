"""Templates that people write, evaluated inside the hub: Jinja's sandbox, and fuel that runs out.

The sandbox keeps a template from Python; it does not keep it from ``{% for %}`` over a billion numbers or
from a string that doubles until memory ends. So everything a template does costs steps of a budget: each node
of a loop's body for each round, each call, filter, operator and comparison by the size of what goes in and
comes out. What could grow without showing it, such as macros, width arguments and ``**``, is left out or
bounded before it is done. A template that costs too much is refused after a fraction of a second, on every
machine at the same point.
"""

from __future__ import annotations

import operator
import traceback
import warnings
from typing import TYPE_CHECKING, Any, NoReturn

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, Undefined, nodes
from jinja2.exceptions import SecurityError, TemplateRuntimeError, UndefinedError
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import Namespace, missing
from jinja2.visitor import NodeTransformer

from hostler.hub.template_filters import FILTERS, OUTPUT, STEPS, RefusedError, weight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

SOURCE = 64 * 1024
"""Most characters of a template: one that loops nowhere costs what it is long."""
_PER_STEP = 64  # characters of its own that a loop puts out in about the time of one step


class TemplateFaultError(Exception):
    """A template is wrong; ``line`` is where, from 1, or None where nobody can tell."""

    def __init__(self, text: str, line: int | None = None) -> None:
        super().__init__(text)
        self.line = line


def check(source: str) -> None:
    """Raise TemplateFaultError for a template that is not one, whatever its variables."""
    _compiled(_Sandbox(), source)


def render(source: str, variables: Mapping[str, Any]) -> str:
    """Return what a template becomes; raises TemplateFaultError.

    Args:
        source: The template.
        variables: JSON values, and functions of text that return text.
    """
    sandbox = _Sandbox()
    template = _compiled(sandbox, source)
    try:
        return _limited(template.generate(dict(variables)))
    except (TemplateError, RefusedError, ValueError, TypeError, ArithmeticError, LookupError,
            AttributeError, RecursionError) as error:  # fmt: skip
        raise TemplateFaultError(_plain(error), _line(error)) from None


def _limited(pieces: Iterable[str]) -> str:
    found, length = [], 0
    for piece in pieces:
        length += len(piece)
        if length > OUTPUT:
            raise RefusedError(f"it becomes longer than {OUTPUT} characters")
        found.append(piece)
    return "".join(found)


def _plain(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    text = str(error) or type(error).__name__
    return text[:300]


def _line(error: BaseException) -> int | None:
    if isinstance(error, TemplateSyntaxError):
        return error.lineno
    # Jinja puts lines of the template in place of lines of the program it became.
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == "<template>"), None)


def _compiled(sandbox: _Sandbox, source: str) -> Template:
    if len(source) > SOURCE:
        raise TemplateFaultError(f"it has {len(source)} characters; {SOURCE} is the most")
    try:
        tree = sandbox.parse(source)
        _refuse_constructs(tree)
        tree = _Metered().visit(tree)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that 7[0] cannot be is said when it is rendered
            code = sandbox.compile(tree)
    except TemplateError as error:
        raise TemplateFaultError(_plain(error), _line(error)) from None
    except (RecursionError, MemoryError, SyntaxError, OverflowError, ValueError):
        raise TemplateFaultError(
            "it cannot be read: it is nested too deeply, or a number is too long"
        ) from None
    return sandbox.template_class.from_code(sandbox, code, sandbox.globals)


_REFUSED: dict[type[nodes.Node], str] = {
    nodes.Macro: "macro",
    nodes.CallBlock: "call",
    nodes.FilterBlock: "filter",
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "from … import",
    nodes.Extends: "extends",
    nodes.Block: "block",
}


def _refuse_constructs(tree: nodes.Template) -> None:
    """Raise TemplateFaultError for what a template of one file does not need."""
    for node in tree.find_all(tuple(_REFUSED)):
        raise TemplateFaultError(f"{{% {_REFUSED[type(node)]} %}} is not for templates here", node.lineno)
    for loop in tree.find_all(nodes.For):
        if loop.recursive:
            raise TemplateFaultError("a recursive loop is not for templates here", loop.lineno)
    for used in tree.find_all(nodes.Filter):
        if used.name not in FILTERS:
            _unknown("filter", used.name, FILTERS, used.lineno)
    for test in tree.find_all(nodes.Test):
        if test.name not in _TESTS:
            _unknown("test", test.name, _TESTS, test.lineno)


def _unknown(what: str, name: str, known: Iterable[str], line: int) -> NoReturn:
    raise TemplateFaultError(f'there is no {what} "{name}"; there are {", ".join(sorted(known))}', line)


class _Metered(NodeTransformer):
    """Puts into a template what counts its steps while it runs."""

    def visit_For(self, node: nodes.For, *args: Any, **kwargs: Any) -> nodes.Node:  # noqa: N802 - jinja's name
        text = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
        weight = 1 + sum(1 for _ in node.find_all(nodes.Node)) + text // _PER_STEP
        self.generic_visit(node, *args, **kwargs)
        node.iter = nodes.Filter(
            node.iter, "_counted", [nodes.Const(weight)], [], None, None, lineno=node.lineno
        )
        return node

    def visit_Concat(self, node: nodes.Concat, *args: Any, **kwargs: Any) -> nodes.Node:  # noqa: N802
        self.generic_visit(node, *args, **kwargs)
        node.nodes = [_through("_text", part) for part in node.nodes]
        return _through("_weighed", node)

    def visit_Compare(self, node: nodes.Compare, *args: Any, **kwargs: Any) -> nodes.Node:  # noqa: N802
        self.generic_visit(node, *args, **kwargs)
        node.expr = _through("_weighed", node.expr)
        for operand in node.ops:
            operand.expr = _through("_weighed", operand.expr)
        return node

    def visit_Pair(self, node: nodes.Pair, *args: Any, **kwargs: Any) -> nodes.Node:  # noqa: N802
        self.generic_visit(node, *args, **kwargs)
        node.key = _through("_text", node.key)
        return node

    def visit_Getitem(self, node: nodes.Getitem, *args: Any, **kwargs: Any) -> nodes.Node:  # noqa: N802
        self.generic_visit(node, *args, **kwargs)
        if isinstance(node.arg, nodes.Slice):
            return _through("_weighed", node)
        node.arg = _through("_text", node.arg)
        return node


def _through(name: str, node: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


class Told(dict[str, Any]):
    """A table that knows what to do about a key it does not have.

    Args:
        entries: What it holds.
        advice: Words for whoever reads that a key is missing, with ``{name}`` for the key.
    """

    def __init__(self, entries: Mapping[str, Any], advice: str) -> None:
        super().__init__(entries)
        self._advice = advice


def _lacks(table: dict[Any, Any], name: object) -> str:
    # Not a method: a key that is called as it is would then be found, and be no key.
    advice = getattr(table, "_advice", 'there is no "{name}" here')
    return f"{advice.format(name=name)}; there is {', '.join(map(str, table)) or 'nothing'}"


class _Absent(StrictUndefined):
    """A variable that is not there, and the words to say so."""

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: type[TemplateRuntimeError] = UndefinedError,
    ) -> None:
        if hint is None and obj is missing:
            hint = f'there is no variable "{name}"'
        elif hint is None and isinstance(obj, dict):
            hint = _lacks(obj, name)
        super().__init__(hint, obj, name, exc)


class _Sandbox(SandboxedEnvironment):
    """An environment for one template: its budget is used up once."""

    intercepted_binops = frozenset(["+", "-", "*", "/", "//", "%", "**"])

    def __init__(self) -> None:
        super().__init__(
            undefined=_Absent, autoescape=False, optimized=False, keep_trailing_newline=True,
            trim_blocks=True, lstrip_blocks=True, cache_size=0, finalize=self._text,
        )  # fmt: skip
        self._left = STEPS
        self.filters = {name: self._metered(function) for name, function in FILTERS.items()}
        self.filters |= {"_counted": self._counted, "_weighed": self._weighed, "_text": self._text}
        self.tests = {name: self.tests[name] for name in _TESTS}
        self.globals = {"range": range, "namespace": Namespace}

    def _spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise RefusedError("it takes too long: too many rounds of its loops, or values too large")

    def _weighed(self, value: Any) -> Any:
        self._spend(weight(value))
        return value

    def _text(self, value: Any) -> Any:
        """Let text and numbers pass: anything else would be written as Python writes it."""
        if isinstance(value, Undefined):
            return value
        if value is None:
            raise RefusedError("a value that is not known (none) stands where text is needed; use default")
        if not isinstance(value, (str, int, float)):
            raise RefusedError("a list or table stands where text is needed; use a loop, join or tojson")
        return self._weighed(value)

    def _counted(self, values: Any, weight: int) -> Iterator[Any]:
        if isinstance(values, Undefined):
            iter(values)
        for value in values:
            self._spend(weight)
            yield value

    def _metered(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def metered(*args: Any, **kwargs: Any) -> Any:
            for value in (*args, *kwargs.values()):
                self._weighed(value)
            return self._weighed(function(*args, **kwargs))

        return metered

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return ``obj.attribute``; a table's own key comes before a method of the same name."""
        return (
            obj[attribute] if isinstance(obj, dict) and attribute in obj else super().getattr(obj, attribute)
        )

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Tell whether an attribute may be looked at; of a text or a table, few methods."""
        if isinstance(obj, (str, dict)):
            return attr in (_TEXT_METHODS if isinstance(obj, str) else _TABLE_METHODS)
        kinds = (LoopContext, Namespace)
        return isinstance(obj, kinds) and bool(super().is_safe_attribute(obj, attr, value))

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function of a template."""
        if isinstance(obj, Undefined):
            return obj(*args, **kwargs)
        if isinstance(obj, Macro) or not callable(obj):
            raise SecurityError("this is not something to call")
        return self._metered(lambda *some, **named: context.call(obj, *some, **named))(*args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ARG002
        """Do a sum: of numbers any, of texts and lists those that put them together."""
        for value in (left, right):
            if isinstance(value, Undefined):
                str(value)
            self._weighed(value)
        numbers = all(isinstance(value, (int, float)) for value in (left, right))
        if operator == "**" or (not numbers and operator != "+"):
            raise RefusedError(f'the operator "{operator}" is not for these values')
        return self._weighed(_SUMS[operator](left, right))


_SUMS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}
_TEXT_METHODS = frozenset(
    {"endswith", "isalnum", "isalpha", "isdigit", "lower", "lstrip", "removeprefix", "removesuffix", "rstrip",
     "split", "splitlines", "startswith", "strip", "upper"}
)  # fmt: skip
_TABLE_METHODS = frozenset({"get", "items", "keys", "values"})
_TESTS = frozenset(
    {"boolean", "defined", "divisibleby", "even", "false", "float", "integer", "iterable", "mapping", "none",
     "number", "odd", "sequence", "string", "true", "undefined"}
)  # fmt: skip
