"""The small language of mapping files: text to a tree. Nothing is run here, and nothing but its own words is known.

    if(sex = 'female' and age_years(birth_date, encounter.start) >= 18, 'woman', lower(sex))
    count(observation where code = '718-7' per encounter)

Names are columns; `a.b` follows a link; names with other signs stand between backticks, texts between ' or ".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NoReturn

from ehrsatz.errors import SchemaError

LONGEST, DEEPEST = 10_000, 60  # signs, and levels: more is written by nobody
AGGREGATES = ("count", "min", "max", "sum", "mean", "first", "last")
COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
_WORDS = {"and", "or", "not", "in", "is", "null", "true", "false"}
_SPELLED = {"==": "=", "<>": "!="}
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    | (?P<name>[^\W\d]\w*)
    | `(?P<quoted>[^`]+)`
    | (?P<sign><=|>=|!=|<>|==|[=<>+\-*/(),.])
    )""",
    re.X,
)


@dataclass(frozen=True)
class Node:
    """A piece of an expression; `position` counts its first sign from 1."""

    position: int


@dataclass(frozen=True)
class Literal(Node):
    """A number, a text, a truth, a day, or null."""

    value: Any


@dataclass(frozen=True)
class Name(Node):
    """A column, or one of another table behind links."""

    path: tuple[str, ...]


@dataclass(frozen=True)
class Call(Node):
    """A function with its arguments; operators are functions of their sign."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Aggregate(Node):
    """Rows of another table taken together: all those of this row, or of its patient or encounter (`per`)."""

    name: str
    table: str
    column: str | None
    where: Node | None
    per: str | None


@dataclass(frozen=True)
class Expression:
    """A whole expression, and where it stands in the file."""

    root: Node
    place: str
    text: str = field(default="", compare=False)

    def wrong(self, node: Node, found: str, advice: str) -> NoReturn:
        """Refuse the expression for one of its pieces.

        Raises
        ------
        SchemaError
            Always.
        """
        raise SchemaError(
            f"Expected an expression that can be computed as '{self.place}'.",
            f"At character {node.position} of it: {found}",
            advice,
        )


def parse(raw: Any, place: str) -> Expression:
    """Read an expression.

    Parameters
    ----------
    raw
        Text, or a value that YAML has read already: a number, a truth, a day, null.
    place
        Where it stands, for messages.

    Raises
    ------
    SchemaError
        When it cannot be read; the message says at which sign.
    """
    if raw is None or isinstance(raw, (bool, int, float, date, datetime)):
        return Expression(Literal(1, raw), place, str(raw))
    if not isinstance(raw, str):
        raise SchemaError(
            f"Expected an expression as '{place}'.", f"It is of type {type(raw).__name__}.", "Write it as text."
        )
    return Expression(_Reader(raw, place).whole(), place, raw)


@dataclass(frozen=True)
class _Token:
    kind: str  # number, text, name, quoted, sign, end
    value: str
    position: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else f"'{self.value}'"


class _Reader:
    """Read from the left, one sign ahead; each method reads what binds tighter than the one before."""

    def __init__(self, text: str, place: str) -> None:
        self._place = place
        if len(text) > LONGEST:
            self._refuse(LONGEST, "the text goes on", "Make it shorter.")
        self._tokens = self._cut(text)
        self._at = self._depth = 0

    def _cut(self, text: str) -> list[_Token]:
        tokens, at = [], 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                at += len(text[at:]) - len(text[at:].lstrip())
                advice = "Close the text with the same mark." if text[at] in "'\"`" else "Remove it, or quote the name."
                self._refuse(at + 1, f"'{text[at]}' cannot be read", advice)
            kind = str(match.lastgroup)
            value, start = match[kind], match.start(kind) + 1
            if kind == "text":
                value = value[1:-1].replace(value[0] * 2, value[0])
            tokens.append(_Token(kind, _SPELLED.get(value, value) if kind == "sign" else value, start))
            at = match.end()
        return [*tokens, _Token("end", "", len(text) + 1)]

    def _refuse(self, position: int, found: str, advice: str) -> NoReturn:
        raise SchemaError(
            f"Expected an expression that can be read as '{self._place}'.",
            f"At character {position} of it: {found}.",
            advice,
        )

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _is(self, *values: str) -> bool:
        return self._next.kind in {"sign", "name"} and self._next.value in values

    def _need(self, value: str) -> None:
        if not self._is(value):
            self._refuse(self._next.position, f"{self._next} stands where '{value}' is needed", "Correct it.")
        self._at += 1

    def whole(self) -> Node:
        if self._next.kind == "end":
            self._refuse(1, "nothing stands there", "Write a column's name, or null for a column without cells.")
        node = self._or()
        if self._next.kind != "end":
            self._refuse(
                self._next.position,
                f"{self._next} stands where the expression should end",
                "Put an operator before it, or quote a name with other signs as `name`.",
            )
        return node

    def _or(self) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            self._refuse(self._next.position, f"more than {DEEPEST} levels", "Make it simpler.")
        node = self._and()
        while self._is("or"):
            node = Call(self._take().position, "or", (node, self._and()))
        self._depth -= 1
        return node

    def _and(self) -> Node:
        node = self._not()
        while self._is("and"):
            node = Call(self._take().position, "and", (node, self._not()))
        return node

    def _not(self) -> Node:
        turned = []
        while self._is("not"):
            turned.append(self._take().position)
        node = self._comparison()
        for position in reversed(turned):
            node = Call(position, "not", (node,))
        return node

    def _comparison(self) -> Node:
        node = self._sum()
        if self._is(*COMPARISONS):
            sign = self._take()
            node = Call(sign.position, sign.value, (node, self._sum()))
        elif self._is("is"):
            position = self._take().position
            turned = self._is("not") and bool(self._take())
            self._need("null")
            node = Call(position, "missing", (node,))
            node = Call(position, "not", (node,)) if turned else node
        elif self._is("in", "not"):
            turned = self._is("not") and bool(self._take())
            position = self._next.position
            self._need("in")
            self._need("(")
            node = Call(position, "in", (node, *self._arguments()))
            node = Call(position, "not", (node,)) if turned else node
        return node

    def _sum(self) -> Node:
        node = self._product()
        while self._is("+", "-"):
            sign = self._take()
            node = Call(sign.position, sign.value, (node, self._product()))
        return node

    def _product(self) -> Node:
        node = self._signed()
        while self._is("*", "/"):
            sign = self._take()
            node = Call(sign.position, sign.value, (node, self._signed()))
        return node

    def _signed(self) -> Node:
        if self._is("-"):
            position = self._take().position
            self._depth += 1
            if self._depth > DEEPEST:
                self._refuse(position, f"more than {DEEPEST} levels", "Make it simpler.")
            node = self._signed()
            self._depth -= 1
            if isinstance(node, Literal) and isinstance(node.value, (int, float)) and node.value is not True:
                return Literal(position, -node.value)
            return Call(position, "negative", (node,))
        return self._piece()

    def _piece(self) -> Node:
        token = self._take()
        if token.kind == "number":
            whole = token.value.isdigit()
            return Literal(token.position, int(token.value) if whole else float(token.value))
        if token.kind == "text":
            return Literal(token.position, token.value)
        if token.kind == "sign" and token.value == "(":
            node = self._or()
            self._need(")")
            return node
        if token.kind == "name" and token.value in {"null", "true", "false"}:
            return Literal(token.position, {"null": None, "true": True, "false": False}[token.value])
        if token.kind == "name" and self._is("("):
            self._take()
            if token.value.lower() in AGGREGATES:
                return self._aggregate(token)
            return Call(token.position, token.value.lower(), self._arguments())
        if token.kind == "quoted" or (token.kind == "name" and token.value not in _WORDS):
            path = [token.value]
            while self._is("."):
                self._take()
                path.append(self._word())
            return Name(token.position, tuple(path))
        self._refuse(token.position, f"{token} stands where a column or a value is needed", "Correct it.")

    def _word(self) -> str:
        if self._next.kind not in {"name", "quoted"}:
            self._refuse(self._next.position, f"{self._next} stands where a name is needed", "Correct it.")
        return self._take().value

    def _arguments(self) -> tuple[Node, ...]:
        """Read up to the closing bracket."""
        out: list[Node] = []
        while not self._is(")"):
            if out:
                self._need(",")
            out.append(self._or())
        self._take()
        return tuple(out)

    def _aggregate(self, token: _Token) -> Aggregate:
        table, column, where, per = self._word(), None, None, None
        if self._is("."):
            self._take()
            column = self._word()
        if self._is("where"):
            self._take()
            where = self._or()
        if self._is("per"):
            self._take()
            per = self._word()
        self._need(")")
        return Aggregate(token.position, token.value.lower(), table, column, where, per)
