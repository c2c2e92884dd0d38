# SPDX-License-Identifier: MIT
"""Line charts as SVG."""

import html
import math

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 420, 70, 36, 44, 56
LEGEND_LEFT, LEGEND_TOP = 530, 170  # where none of the charts has a line
COLOURS = ("#1f6fb4", "#c4511c", "#2d8a4e", "#7d4fa8", "#6b6b6b")


class Axis:
    """Maps values of one axis onto pixels, and knows where its marks are."""

    def __init__(self, values, begin, end, log):
        self.log = log
        self.begin, self.end = begin, end
        low, high = min(values), max(values)
        self.marks = self._decades(low, high) if log else self._steps(low, high)
        self.low, self.high = self._scale(self.marks[0]), self._scale(self.marks[-1])

    def _scale(self, value):
        return math.log10(max(value, 1e-9)) if self.log else value

    @staticmethod
    def _decades(low, high):
        first, last = math.floor(math.log10(max(low, 1e-9))), math.ceil(math.log10(max(high, 1e-9)))
        return [10.0 ** n for n in range(first, max(last, first + 1) + 1)]

    @staticmethod
    def _steps(low, high):
        low = min(low, 0)
        raw = (high - low) / 6 or 1
        size = 10 ** math.floor(math.log10(raw))
        step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw)
        return [step * n for n in range(math.floor(low / step), math.ceil(high / step) + 1)]

    def at(self, value):
        share = (self._scale(value) - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)


def chart(path, title, x_label, y_label, series, log_x=False, log_y=False):
    """series: {name: [(x, y), ...]}"""
    points = [point for line in series.values() for point in line]
    x_axis = Axis([x for x, _ in points], LEFT, WIDTH - RIGHT, log_x)
    y_axis = Axis([y for _, y in points], HEIGHT - BOTTOM, TOP, log_y)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
             f'font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
             _text(LEFT, 20, title, "start", 15),
             _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, x_label),
             f'<g transform="translate(18 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)">{_text(0, 0, y_label)}</g>']
    for mark in x_axis.marks:
        x = x_axis.at(mark)
        parts.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        parts.append(_text(x, HEIGHT - BOTTOM + 18, f"{mark:g}"))
    for mark in y_axis.marks:
        y = y_axis.at(mark)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 8, y + 4, f"{mark:g}", "end"))
    for n, (name, line) in enumerate(series.items()):
        colour = COLOURS[n % len(COLOURS)]
        path_data = " ".join(f"{x_axis.at(x):.1f},{y_axis.at(y):.1f}" for x, y in line)
        parts.append(f'<polyline points="{path_data}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(line) <= 20:
            parts += [f'<circle cx="{x_axis.at(x):.1f}" cy="{y_axis.at(y):.1f}" r="3" fill="{colour}"/>'
                      for x, y in line]
        parts.append(f'<rect x="{LEGEND_LEFT}" y="{LEGEND_TOP + 18 * n}" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(LEGEND_LEFT + 16, LEGEND_TOP + 9 + 18 * n, name, "start"))
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(parts) + "\n</svg>\n")


def distribution(values, steps=200):
    """The points of a cumulative distribution, in percent."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return [(ordered[round(n / steps * last)], 100 * n / steps) for n in range(steps + 1)]


def _text(x, y, text, anchor="middle", size=12):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{html.escape(text)}</text>'
