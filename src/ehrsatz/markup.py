"""YAML as we read it: plain values, each key once, no deeper than anyone would write by hand.

YAML itself lets the last of two equal keys win, so that a limit in a policy could be undone further down unseen.
"""

from __future__ import annotations

from typing import Any

TWICE = "A key stands twice in one mapping, the second time"


def load(text: str) -> Any:
    """Read YAML text into plain values.

    Parameters
    ----------
    text
        One document.

    Raises
    ------
    ValueError
        When it is no YAML, names a key twice in one mapping, or is nested too deep; the message says at which line.
    """
    import yaml

    class Strict(yaml.SafeLoader):
        """The safe loader, which refuses a key that stands twice."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            if isinstance(node, yaml.MappingNode):
                seen = set()
                for key, _ in node.value:
                    mark = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)
                    if mark in seen:
                        raise yaml.constructor.ConstructorError(problem=TWICE, problem_mark=key.start_mark)
                    seen.add(mark)
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Strict)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark else "an unknown line"
        twice = getattr(error, "problem", None) == TWICE
        raise ValueError(f"{TWICE} at {place}." if twice else f"The text cannot be read at {place}.") from None
    except ValueError:
        raise ValueError("A date or a number in the text cannot be read.") from None
    except RecursionError:
        raise ValueError("The text is nested too deep to be read.") from None
