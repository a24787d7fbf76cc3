"""Units of measure: whether a text is a unit of UCUM, case-sensitive form, among the atoms that medicine uses.

The grammar is whole: prefixes, exponents, products, quotients, brackets of terms, whole numbers and annotations. The
list of atoms is not, but holds those of laboratory, vital signs, drugs and time.

References
----------
Schadow G, McDonald CJ, The Unified Code for Units of Measure, version 2.1, 2017, https://ucum.org/ucum, sections 2,
3 and tables 1 to 10.
"""

from __future__ import annotations

import re

PREFIXES = ("Y", "Z", "E", "P", "T", "G", "M", "k", "h", "da", "d", "c", "m", "u", "n", "p", "f", "a", "z", "y")
_METRIC = """
    m s g rad K C cd mol sr Hz N Pa J W A V F Ohm S Wb Cel T H lm lx Bq Gy Sv l L eq osm kat U [IU] [iU] cal eV t bar
    m[H2O] m[Hg] P St kat u [CCID_50] B Np ar [Ch]
"""
_PLAIN = """
    % [ppth] [ppm] [ppb] 10* 10^ min h d a wk mo a_j mo_j gon deg ' '' [pi] [degF] [in_i] [ft_i] [lb_av] [oz_av]
    [USD] [GBP] [arb'U] [APL'U] [GPL'U] [MPL'U] [CFU] [FFU] [PFU] [diop] [drp] [HPF] [LPF] [Amb'a'1'U] [beth'U] [BAU]
    [hnsf'U] [in_i'H2O] [IR] [S] [tb'U] [todd'U] [cup_us] [tsp_us] [tbs_us] [foz_us] [gal_us] [pH] [MET] [car_Au]
    [hp'_X] [pptr] [smgy] [bdsk'U] [ka'U] [knk'U] [mclg'U] [dye'U] [AU] [D'ag'U] [ELU] [EU] [LPU] atm
"""
METRIC, PLAIN = frozenset(_METRIC.split()), frozenset(_PLAIN.split())  # atoms that take a prefix, and that take none
_ANNOTATION = re.compile(r"\{[\x21-\x7a|~]*\}")
_ATOM = re.compile(r"(?:\[[^\]\s]+\]|10[*^]|m\[H2O\]|[A-Za-z%'\[\]_^]|\[[^\]]*\])+")
_EXPONENT = re.compile(r"[+-]?\d+")


def check(unit: str) -> list[str]:
    """Return what is wrong with a unit, nothing where it is one.

    Examples
    --------
    >>> [check(unit) for unit in ("mm[Hg]", "mL/min/{1.73_m2}", "10*3/uL", "{score}", "1")]
    [[], [], [], [], []]
    >>> check("mmHg")
    ["UCUM: 'mmHg' is no unit: 'mmHg' is no atom, with or without a prefix"]
    """
    problem = _Reader(unit).problem()
    return [f"UCUM: '{unit}' is no unit: {problem}"] if problem else []


class _Reader:
    """A unit read from left to right."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def problem(self) -> str:
        if not self.text or not self.text.isascii() or " " in self.text:
            return "it is blank, or has a blank or a sign beyond ASCII"
        if self.text.startswith("/"):
            self.at = 1
        found = self._term()
        return found or ("" if self.at == len(self.text) else f"'{self.text[self.at :]}' is left over")

    def _term(self) -> str:
        while True:
            found = self._component()
            if found or self.at >= len(self.text) or self.text[self.at] not in "./":
                return found
            self.at += 1

    def _component(self) -> str:
        rest = self.text[self.at :]
        if rest.startswith("("):
            self.at += 1
            found = self._term()
            if found:
                return found
            if not self.text.startswith(")", self.at):
                return "a bracket is not closed"
            self.at += 1
            return ""
        annotation = _ANNOTATION.match(rest)
        if annotation:
            self.at += annotation.end()
            return ""
        number = re.match(r"\d+(?![*^\d])", rest)
        if number:
            self.at += number.end()
            return self._annotated()
        atom = _ATOM.match(rest)
        if atom is None:
            return f"expected a unit where {'the end' if not rest else repr(rest[0])} is"
        self.at += atom.end()
        if not _is_atom(atom[0]):
            return f"'{atom[0]}' is no atom, with or without a prefix"
        exponent = _EXPONENT.match(self.text, self.at)
        if exponent:
            self.at = exponent.end()
        return self._annotated()

    def _annotated(self) -> str:
        annotation = _ANNOTATION.match(self.text, self.at)
        if annotation:
            self.at = annotation.end()
        return ""


def _is_atom(text: str) -> bool:
    if text in PLAIN or text in METRIC:
        return True
    return any(text.startswith(prefix) and text[len(prefix) :] in METRIC for prefix in PREFIXES)
