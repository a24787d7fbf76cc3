"""A patient's timeline: a lane for each kind of visit, condition, drug and measurement, years on one axis.

It is drawn twice, wide and narrow, and the page shows the one that fits. Years before the record of care begins are
drawn narrower, on a grey ground. Nothing is told by colour alone: stays are bars and other visits ticks, intensive
care is filled where other stays are hollow, stages are named in their bars, what goes on ends in an arrow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from ehrsatz.report.charts.base import cut, line, rect, svg, text, tick, ticks

ROW, LAB = 19.0, 50.0  # heights of a lane and of a measurement
SHARE = (0.24, 0.55)  # of the axis that the early years take, least and most
WEIGHT = 6.0  # how much wider a later year is
LETTER = 0.56  # width of a letter, in font sizes


def timeline(data: Mapping[str, Any], alt: str) -> Markup:
    """Draw a patient, wide and narrow.

    data: `start`, `split` (or null) and `end` in years; `death` with `at` and `label`, or null; `visits`, lanes of
    `marks` (`from`, `to`, `label`, `strong`); `conditions` and `drugs`, lanes of `spans` (`from`, `to`, `label`,
    `open`), like `repeated`; `acute`, `courses` and `procedures` with `at` and `label`; `labs` with `label`, `unit`,
    `low`, `high` and `series` of points.
    """
    return _Drawing(data, 980, 178).draw(alt, "chart life long") + _Drawing(data, 360, 0).draw(alt, "chart life slim")


class _Drawing:
    """One drawing of a patient; with a gutter of 0, labels stand above their lanes."""

    def __init__(self, data: Mapping[str, Any], width: float, gutter: float) -> None:
        self.data, self.width, self.gutter = data, width, gutter
        self.left, self.right = gutter + 6, width - 46.0
        self.parts: list[str] = []
        self.y = 8.0
        self.lanes: list[tuple[float, float]] = []

    def x(self, year: float) -> float:
        """Return where a moment lies."""
        start, split, end = self.data["start"], self.data["split"], self.data["end"]
        year = min(max(year, start), end)
        if split is None:
            return self.left + (self.right - self.left) * (year - start) / max(end - start, 1e-6)
        share = (split - start) / (split - start + WEIGHT * (end - split))
        middle = self.left + min(max(share, SHARE[0]), SHARE[1]) * (self.right - self.left)
        if year < split:
            return self.left + (middle - self.left) * (year - start) / max(split - start, 1e-6)
        return middle + (self.right - middle) * (year - split) / max(end - split, 1e-6)

    def draw(self, alt: str, css: str) -> Markup:
        """Return the picture."""
        data = self.data
        self._axis_room()
        top = self.y
        for lane in data["visits"]:
            self._visits(lane)
        self._heading("Conditions", data["conditions"] or data["acute"])
        for lane in data["conditions"]:
            self._bars(lane, "tl-has")
        self._points("Acute illness", data["acute"], "tl-acute")
        self._heading("Medicines", data["drugs"] or data["courses"])
        for lane in data["drugs"]:
            self._bars(lane, "tl-drug")
        self._points("Short courses", data["courses"], "tl-course")
        self._heading("Done and measured", data["procedures"] or data["repeated"] or data["labs"])
        self._points("Procedures", data["procedures"], "tl-done")
        for lane in data["repeated"]:
            self._bars(lane, "tl-again")
        for lab in data["labs"]:
            self._lab(lab)
        ground = self._ground(top, self.y)
        label = alt if "long" in css else "The same, narrow"
        return svg(self.width, self.y + 8, [*ground, *self.parts], label, css)

    # ------------------------------------------------------------------ axis
    def _axis_room(self) -> None:
        self.y += 14

    def _ground(self, top: float, bottom: float) -> list[str]:
        data, out = self.data, []
        split = data["split"]
        if split is not None:
            out.append(rect(self.left, top, self.x(split) - self.left, bottom - top, "tl-early"))
        for year in self._years():
            x = self.x(year)
            out.append(line(x, top, x, bottom, "gridline"))
            out.append(text(max(x, 14.0), top - 5, f"{year:g}", "middle", 10.5))
        if split is not None:
            out.append(line(self.x(split), top, self.x(split), bottom, "tl-split"))
        out.append(f'<path class="axis" d="M{self.left:.1f} {top:.1f}H{self.right:.1f}"/>')
        if data["death"] is not None:
            x = self.x(data["death"]["at"])
            out.append(line(x, top - 2, x, bottom, "tl-death"))
            out.append(text(x, bottom + 2, f"† {data['death']['label']}", "end", 11, "name"))
            self.y += 8
        return out

    def _years(self) -> list[float]:
        start, split, end = self.data["start"], self.data["split"], self.data["end"]
        room = 44.0
        out: list[float] = []
        parts = [(start, end)] if split is None else [(split, end), (start, split)]
        for low, high in parts:
            wide = abs(self.x(high) - self.x(low))
            found = ticks(low, high, max(1, int(wide / room)))
            step = max(1.0, round(found[1] - found[0]) if len(found) > 1 else 1.0)
            for year in range(math.ceil(low), int(high) + 1):
                if year % step == 0 and all(abs(self.x(year) - self.x(one)) >= 30 for one in out):
                    out.append(float(year))
        return sorted(out)

    # ------------------------------------------------------------------ lanes
    def _heading(self, words: str, shown: Any) -> None:
        if shown:
            self.y += 8
            x = 2 if not self.gutter else self.gutter
            self.parts.append(text(x, self.y + 8, words.upper(), "end" if self.gutter else "start", 9.5, "tl-head"))
            self.y += 14

    def _label(self, words: str, height: float = ROW) -> None:
        if self.gutter:
            most = int(self.gutter / (11.5 * LETTER * 0.93))
            self.parts.append(text(self.gutter, self.y + height / 2 + 4, cut(words, most), "end", 11.5, "name"))
        else:
            self.parts.append(text(2, self.y + 11, cut(words, 48), "start", 11.5, "name"))
            self.y += 15

    def _count(self, words: str) -> None:
        self.parts.append(text(self.width - 2, self.y + ROW / 2 + 4, words, "end", 10.5))

    def _visits(self, lane: Mapping[str, Any]) -> None:
        self._label(lane["label"])
        middle = self.y + ROW / 2
        stays = lane["label"] == "Hospital stays"
        for one in lane["marks"]:
            a, b = self.x(one["from"]), self.x(one["to"])
            tip = f"<title>{escape(one['label'])}, {_moment(one['from'])}</title>"
            if stays:
                css = "tl-icu" if one["strong"] else "tl-stay"
                place = f'x="{a:.1f}" y="{middle - 6:.1f}" width="{max(3.5, b - a):.1f}" height="12"'
                self.parts.append(f'<rect class="{css}" {place}>{tip}</rect>')
            else:
                css = "tl-urgent" if lane["label"].startswith("Emergency") else "tl-visit"
                self.parts.append(f'<path class="{css}" d="M{a:.1f} {middle - 5:.1f}v10">{tip}</path>')
        self._count(f"{len(lane['marks']):,}")
        self.y += ROW

    def _bars(self, lane: Mapping[str, Any], css: str) -> None:
        self._label(lane["label"])
        n = len(lane["spans"])
        for k, one in enumerate(lane["spans"]):
            a, b = self.x(one["from"]), self.x(one["to"])
            wide = max(2.5, b - a - (1.5 if k < n - 1 else 0))
            tip = escape(f"{lane['label']}{', ' + one['label'] if one['label'] else ''}: {_span(one)}")
            shade = 0.38 + 0.5 * (k / max(1, n - 1)) if n > 1 and css == "tl-has" else 0.5
            body = f'x="{a:.1f}" y="{self.y + 2:.1f}" width="{wide:.1f}" height="{ROW - 5:.1f}" rx="2"'
            self.parts.append(f'<rect class="{css}" fill-opacity="{shade:.2f}" {body}><title>{tip}</title></rect>')
            if one["open"]:
                tipx, mid = a + wide, self.y + ROW / 2 - 0.5
                self.parts.append(f'<path class="{css} tl-on" d="M{tipx:.1f} {mid - 7:.1f}l7 7-7 7z"/>')
            words = one["label"]
            most = int((wide - 8) / (10 * LETTER))
            if words and (len(words) <= most or most >= 8):
                self.parts.append(text(a + 4, self.y + ROW / 2 + 3, cut(words, most), "start", 10, "tl-in"))
        self.y += ROW

    def _points(self, label: str, rows: Sequence[Mapping[str, Any]], css: str) -> None:
        if not rows:
            return
        self._label(label)
        middle = self.y + ROW / 2
        self._count(f"{len(rows):,}")
        free = [-1e9, -1e9]  # where two lines of words end
        for one in rows:
            x = self.x(one["at"])
            tip = escape(f"{one['label']}, {_moment(one['at'])}")
            self.parts.append(
                f'<path class="{css}" d="M{x:.1f} {middle - 5:.1f}l4.5 5-4.5 5-4.5-5z"><title>{tip}</title></path>'
            )
            words = cut(one["label"], 24 if self.gutter else 20)
            wide = len(words) * 9.5 * LETTER
            spot = x if x + wide <= self.right + 30 else x - wide
            row = next((k for k, end in enumerate(free) if spot > end + 8), None)
            if row is not None:
                self.parts.append(text(max(spot - 4, 2), middle + 16 + 11 * row, words, "start", 9.5))
                free[row] = spot + wide
        used = sum(end > -1e8 for end in free)
        self.y += ROW + 1 + 11 * used

    def _lab(self, lab: Mapping[str, Any]) -> None:
        points = [p for series in lab["series"] for p in series]
        values = [p[1] for p in points]
        low, high = min(values), max(values)
        for end in (lab["low"], lab["high"]):
            if end is not None:
                low, high = min(low, end), max(high, end)
        room = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
        low, high = low - room, high + room
        unit = f" ({lab['unit']})" if lab["unit"] else ""
        self.y += 4
        self._label(f"{lab['label']}{unit}", LAB)

        def y(value: float) -> float:
            return self.y + (LAB - 6) * (1 - (value - low) / (high - low))

        if lab["low"] is not None or lab["high"] is not None:
            upper = y(high if lab["high"] is None else lab["high"])
            lower = y(low if lab["low"] is None else lab["low"])
            self.parts.append(rect(self.left, upper, self.right - self.left, lower - upper, "tl-range"))
        for value in ticks(low, high, 2):
            self.parts.append(text(self.left + 3, y(value) + 3.5, tick(value), "start", 9.5))
        styles = ("tl-line", "tl-line two")
        for series, css in zip(lab["series"], styles, strict=False):
            spots = [(self.x(at), y(value)) for at, value in series]
            if len(spots) > 1:
                path = "L".join(f"{a:.1f} {b:.1f}" for a, b in spots)
                self.parts.append(f'<path class="{css}" d="M{path}"/>')
            if len(spots) <= 40:
                self.parts += [f'<circle class="tl-dot" cx="{a:.1f}" cy="{b:.1f}" r="1.9"/>' for a, b in spots]
        last = " / ".join(f"{series[-1][1]:.4g}" for series in lab["series"] if series)
        self.parts.append(text(self.width - 2, y(lab["series"][0][-1][1]) + 4, last, "end", 10.5, "name"))
        self.y += LAB


def _moment(year: float) -> str:
    names = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{names[min(11, int(12 * (year % 1)))]} {int(year)}"


def _span(one: Mapping[str, Any]) -> str:
    return f"{_moment(one['from'])} {'on' if one['open'] else 'to ' + _moment(one['to'])}"
