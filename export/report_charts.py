"""Charts of the report as inline SVG: no script, no font and no colour of their own; the page's style gives both, light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from export.learned import Epoch
from export.reliability import Bin

WIDTH, HEIGHT = 360, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 20, 12, 44  # px around the plot
GUIDES = (0.0, 0.25, 0.5, 0.75, 1.0)
ROOM = 0.05  # of the range, above and below a curve


def reliability_chart(bins: Sequence[Bin], summary: str) -> str:
    """Bars of what holds for each tenth of what is said, beside the diagonal on which both are equal.

    Args:
        bins: from the least probability to the greatest.
        summary: what a reader that cannot see the chart is told.
    """
    parts = [_frame("probability of the first label", "share that is right", GUIDES)]
    width = 1 / len(bins)
    most = max((one.count for one in bins), default=0)
    for place, one in enumerate(bins):
        if not one.count:
            continue
        left, right = _x(place * width) + 1.5, _x((place + 1) * width) - 1.5
        top = _y(one.right)
        told = f"said {one.said:.0%}, right {one.right:.0%}, {one.count} pictures"
        weight = 0.35 + 0.65 * (one.count / most) ** 0.5
        bar = f'<rect class="bar" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{max(0.5, _y(0) - top):.1f}"'
        parts.append(f'{bar} style="opacity:{weight:.2f}"><title>{told}</title></rect>')
        parts.append(f'<circle class="mark" cx="{_x(one.said):.1f}" cy="{top:.1f}" r="3.5"/>')
    parts.append(f'<line class="ideal" x1="{_x(0):.1f}" y1="{_y(0):.1f}" x2="{_x(1):.1f}" y2="{_y(1):.1f}"/>')
    return _svg(parts, summary)


def learning_chart(curve: Sequence[Epoch], kept: int, summary: str) -> str:
    """Held-out accuracy after each pass over the training pictures, with the pass whose weights were kept.

    Args:
        curve: in order.
        kept: number of the epoch that was kept.
        summary: what a reader that cannot see the chart is told.
    """
    accuracies = [epoch.held_out_accuracy for epoch in curve]
    span = max(max(accuracies) - min(accuracies), 0.02)
    low, high = max(0.0, min(accuracies) - ROOM * span), min(1.0, max(accuracies) + ROOM * span)
    last = max(1, curve[-1].number)
    points = [(_x(epoch.number / last), _y((epoch.held_out_accuracy - low) / max(high - low, 1e-9))) for epoch in curve]
    guides = [low + (high - low) * part for part in GUIDES]
    path = " ".join(f"{'M' if not place else 'L'}{x:.1f} {y:.1f}" for place, (x, y) in enumerate(points))
    ticks = sorted({round(last * part / 4) for part in range(5)})
    parts = [_frame("passes over the training pictures", "held-out accuracy", GUIDES, guides, {tick / last: str(tick) for tick in ticks})]
    parts.append(f'<path class="curve" d="{path}"/>')
    for place, ((x, y), epoch) in enumerate(zip(points, curve, strict=True)):
        told = f"after {epoch.number}: {epoch.held_out_accuracy:.1%}{', kept' if place == kept else ''}"
        parts.append(f'<circle class="{"kept" if place == kept else "mark"}" cx="{x:.1f}" cy="{y:.1f}" r="{5 if place == kept else 3}">'
                     f"<title>{told}</title></circle>")  # fmt: skip
    return _svg(parts, summary)


def _frame(
    below: str, beside: str, guides: Sequence[float], values: Sequence[float] | None = None, ticks: dict[float, str] | None = None
) -> str:
    """Guides, numbers and names of both axes."""
    parts = []
    for guide, value in zip(guides, values or guides, strict=True):
        y = _y(guide)
        parts.append(f'<line class="guide" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_percent(value)}</text>')
    for guide, name in (ticks or {guide: _percent(guide) for guide in guides}).items():
        parts.append(f'<text x="{_x(guide):.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{name}</text>')
    middle = (HEIGHT - BOTTOM + TOP) / 2
    parts.append(f'<text x="{(WIDTH + LEFT - RIGHT) / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(below)}</text>')
    parts.append(f'<text transform="translate(11 {middle:.0f}) rotate(-90)" text-anchor="middle">{escape(beside)}</text>')
    return "".join(parts)


def _svg(parts: Sequence[str], summary: str) -> str:
    label = escape(summary, quote=True)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}" class="chart">{"".join(parts)}</svg>'


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %" if abs(100 * value - round(100 * value)) < 0.05 else f"{100 * value:.1f} %"


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
