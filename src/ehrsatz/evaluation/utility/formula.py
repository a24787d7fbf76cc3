"""A small, strict language of regression formulas: `died ~ age + C(ward) + age:sex + log(crea)`. No data, no eval.

    formula   outcome ~ term + term ...
    outcome   name | log(name) | sqrt(name) | poisson(name) | Surv(duration, event)
    term      factors joined by : (product) or * (product and all that it is made of), or -1 (no intercept)
    factor    name | C(name) | log(name) | sqrt(name)

A name begins with a letter or an underscore and goes on with letters, digits, underscores and dots; any other column
stands between backticks. The outcome decides the model: two levels, logistic regression; a number, linear regression;
poisson(), log-linear regression of counts; Surv(), proportional hazards.

References: Wilkinson & Rogers, Symbolic description of factorial models, Applied Statistics 22, 1973,
doi:10.2307/2346786.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, NoReturn

from ehrsatz.errors import ScenarioError

Kind = Literal["plain", "C", "log", "sqrt"]
FUNCTIONS = ("C", "log", "sqrt")
OUTCOMES = ("log", "sqrt", "poisson", "Surv")
MAX_LENGTH = 2000
_TOKEN = re.compile(r"\s*(?:`(?P<quoted>[^`]+)`|(?P<name>[^\W\d][\w.]*)|(?P<number>\d+)|(?P<sign>[~+\-*:(),]))")


@dataclass(frozen=True)
class Factor:
    """One column of a formula, as it is or through a function.

    Parameters
    ----------
    kind
        "plain", "C" (levels, also of a number), "log" or "sqrt".
    column
        Its name as written, "column" or "table.column".
    position
        Character of the formula where it stands, from 1 on.
    """

    kind: Kind
    column: str
    position: int = 0

    @property
    def label(self) -> str:
        """As written: "age", "C(ward)", "log(crea)"."""
        return self.column if self.kind == "plain" else f"{self.kind}({self.column})"

    @property
    def key(self) -> tuple[str, str]:
        """What makes two factors the same."""
        return self.kind, self.column


Term = tuple[Factor, ...]


@dataclass(frozen=True)
class Formula:
    """What a formula says, before any data are looked at.

    Parameters
    ----------
    text
        As written.
    model
        "auto" (the outcome's kind decides), "poisson" or "survival".
    outcome
        Left side; the duration, for survival.
    event
        The event column, for survival.
    terms
        Products of factors, main effects first, each once.
    intercept
        False after -1 or 0, and for survival.
    """

    text: str
    model: Literal["auto", "poisson", "survival"]
    outcome: Factor
    event: Factor | None
    terms: tuple[Term, ...]
    intercept: bool = True

    @property
    def factors(self) -> tuple[Factor, ...]:
        """Every factor of the right side once, in order."""
        seen: dict[tuple[str, str], Factor] = {}
        for term in self.terms:
            for one in term:
                seen.setdefault(one.key, one)
        return tuple(seen.values())

    def wrong(self, position: int, expected: str, found: str, advice: str) -> NoReturn:
        """Raise the error of a place in this formula.

        Parameters
        ----------
        position
            Character, from 1 on.
        expected, found, advice
            The three parts of the message.
        """
        raise _error(self.text, position, expected, found, advice)


def read_formula(text: str) -> Formula:
    """Read a formula.

    Parameters
    ----------
    text
        As in "died ~ age + C(ward)".

    Raises
    ------
    ScenarioError
        With the character at which the formula is no longer one, and what was expected there.

    Examples
    --------
    >>> [":".join(f.label for f in term) for term in read_formula("y ~ a*b + log(x)").terms]
    ['a', 'b', 'log(x)', 'a:b']
    """
    return _Reader(text).formula()


@dataclass(frozen=True)
class _Token:
    kind: str  # quoted, name, number, sign, end
    text: str
    position: int


class _Reader:
    """Recursive descent over the tokens of one formula."""

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > MAX_LENGTH:
            self.wrong(MAX_LENGTH, f"a formula of at most {MAX_LENGTH:,} characters", f"it has {len(text):,}")
        self.tokens = list(self.split())
        self.at = 0

    def split(self) -> Iterator[_Token]:
        place, end = 0, len(self.text.rstrip())
        while place < end:
            match = _TOKEN.match(self.text, place)
            if match is None or match.lastgroup is None:
                start = place + len(self.text[place:]) - len(self.text[place:].lstrip())
                mark = self.text[start]
                advice = "Close the backtick." if mark == "`" else "Put a name with other signs between backticks."
                self.wrong(
                    start + 1, "a column, a function or one of ~ + - * : ( ) ,", f"'{mark}' stands there", advice
                )
            yield _Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup) + 1)
            place = match.end()
        yield _Token("end", "", len(self.text) + 1)

    def wrong(self, position: int, expected: str, found: str, advice: str = "") -> NoReturn:
        raise _error(self.text, position, f"Expected {expected}.", found, advice)

    def unexpected(self, expected: str, advice: str = "") -> NoReturn:
        token = self.peek()
        self.wrong(token.position, expected, f"'{token.text}' stands there" if token.text else "it ends there", advice)

    def peek(self) -> _Token:
        return self.tokens[self.at]

    def take(self) -> _Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def is_sign(self, *signs: str) -> bool:
        return self.peek().kind == "sign" and self.peek().text in signs

    def need(self, sign: str) -> None:
        if not self.is_sign(sign):
            self.unexpected(f"'{sign}'")
        self.take()

    def column(self) -> _Token:
        if self.peek().kind not in {"name", "quoted"}:
            self.unexpected("a column")
        return self.take()

    def is_call(self) -> bool:
        after = self.tokens[self.at + 1] if self.at + 1 < len(self.tokens) else None
        return self.peek().kind == "name" and after is not None and after.kind == "sign" and after.text == "("

    def formula(self) -> Formula:
        model, outcome, event = self.outcome()
        self.need("~")
        terms, intercept = self.right_side()
        if not terms:
            self.wrong(self.peek().position, "at least one column on the right of '~'", "there is none")
        left = {outcome.column} | ({event.column} if event else set())
        for one in (factor for term in terms for factor in term):
            if one.column in left:
                self.wrong(
                    one.position, "other columns than the outcome's on the right of '~'", f"'{one.column}' again"
                )
        terms.sort(key=len)  # stable: main effects first
        return Formula(self.text, model, outcome, event, tuple(terms), intercept and model != "survival")

    def outcome(self) -> tuple[Literal["auto", "poisson", "survival"], Factor, Factor | None]:
        if not self.is_call():
            token = self.column()
            return "auto", Factor("plain", token.text, token.position), None
        name = self.take()
        if name.text not in OUTCOMES:
            self.wrong(name.position, f"one of {', '.join(OUTCOMES)} or a column", f"'{name.text}(' is none of them")
        self.need("(")
        first = self.column()
        second = None
        if name.text == "Surv":
            self.need(",")
            second = self.column()
        self.need(")")
        if second is not None:
            if second.text == first.text:
                self.wrong(second.position, "two different columns, duration and event", "both are the same")
            return "survival", Factor("plain", first.text, first.position), Factor("C", second.text, second.position)
        if name.text == "poisson":
            return "poisson", Factor("plain", first.text, first.position), None
        kind: Kind = "log" if name.text == "log" else "sqrt"
        return "auto", Factor(kind, first.text, first.position), None

    def right_side(self) -> tuple[list[Term], bool]:
        terms: dict[frozenset[tuple[str, str]], Term] = {}
        intercept, sign = True, "+"
        if self.is_sign("+", "-"):
            sign = self.take().text
        while True:
            token = self.peek()
            if token.kind == "number":
                if token.text not in {"0", "1"}:
                    self.unexpected("0, 1 or a column", "Only the intercept is written as a number.")
                intercept = (token.text == "1") == (sign == "+")
                self.take()
            elif sign == "-":
                self.unexpected("1 after '-'", "Only the intercept can be taken away; leave out the columns you mean.")
            else:
                for term in self.product():
                    terms.setdefault(frozenset(one.key for one in term), term)
            if self.peek().kind == "end":
                return list(terms.values()), intercept
            if not self.is_sign("+", "-"):
                advice = "Powers, brackets and arithmetic are not part of the language: make a column of them first."
                self.unexpected("'+', '-1', ':' or '*'", advice)
            sign = self.take().text

    def product(self) -> list[Term]:
        """Terms of a : b and a * b, where ':' binds more tightly."""
        parts = [self.interaction()]
        while self.is_sign("*"):
            self.take()
            parts.append(self.interaction())
        out = []
        for size in range(1, len(parts) + 1):
            for chosen in combinations(parts, size):
                seen: dict[tuple[str, str], Factor] = {}
                for one in (factor for part in chosen for factor in part):
                    seen.setdefault(one.key, one)
                out.append(tuple(seen.values()))
        return out

    def interaction(self) -> Term:
        factors = [self.factor()]
        while self.is_sign(":"):
            self.take()
            factors.append(self.factor())
        return tuple(factors)

    def factor(self) -> Factor:
        if not self.is_call():
            token = self.column()
            return Factor("plain", token.text, token.position)
        name = self.take()
        if name.text not in FUNCTIONS:
            known = ", ".join(f"{one}()" for one in FUNCTIONS)
            advice = "Make a column of it first: a formula runs no code."
            self.wrong(name.position, f"one of {known} or a column", f"'{name.text}(' is none of them", advice)
        self.need("(")
        token = self.column()
        self.need(")")
        kind: Kind = "C" if name.text == "C" else "log" if name.text == "log" else "sqrt"
        return Factor(kind, token.text, name.position)


def _error(text: str, position: int, expected: str, found: str, advice: str) -> ScenarioError:
    shown = text if len(text) <= 120 else f"{text[:117]}..."
    end = "" if found.endswith(("?", ".")) else "."
    return ScenarioError(expected, f"Character {position} of '{shown}': {found}{end}", advice)
