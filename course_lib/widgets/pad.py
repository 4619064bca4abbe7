"""A square to click and drag in, made of plain ipywidgets.

Three layers lie in one cell of a grid: a map that never changes, the dot, and on top a transparent
surface. The surface writes where the pointer is into a hidden text field, whose value ipywidgets
sends to the kernel like that of any other field.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

SIZE = 224  # CSS pixels

_DOWN = "event.preventDefault();this.setPointerCapture(event.pointerId);this.onpointermove(event)"
_MOVE = (
    "if(event.buttons!==1)return;"
    "const r=this.getBoundingClientRect(),"
    "x=(event.clientX-r.left)/r.width,y=1-(event.clientY-r.top)/r.height,"
    "field=this.closest('.course-pad').querySelector('.course-pad-field input');"
    "field.value=x.toFixed(4)+' '+y.toFixed(4);"
    "field.dispatchEvent(new Event('input',{bubbles:true}))"
)


class Pad:
    """A pad over the unit square; (0, 0) is at the bottom left.

    Args:
        names: of the axes, rightwards and upwards.
        points: shares of the sides, ``(x, y)`` in [0, 1], marked on the map.
        zero: the place where the two axes cross.
        moved: called with the place when the pointer is down.

    Attributes:
        box: the widget.
        field: what the surface writes to, a text such as ``"0.25 0.9"``.
    """

    def __init__(
        self,
        names: tuple[str, str],
        points: Sequence[tuple[float, float]],
        zero: tuple[float, float],
        moved: Callable[[float, float], None],
    ) -> None:
        import ipywidgets

        self._moved = moved
        place = {"width": f"{SIZE}px", "height": f"{SIZE}px", "margin": "0", "grid_area": "1 / 1"}
        said = f"Pad: click or drag to move {names[0]} rightwards and {names[1]} upwards"
        surface = (
            f'<div class="course-pad-surface" role="img" aria-label="{escape(said)}" '
            f'title="{escape(said)}" onpointerdown="{_DOWN}" onpointermove="{_MOVE}" '
            f'style="width:{SIZE}px;height:{SIZE}px;cursor:crosshair;touch-action:none"></div>'
        )
        self._map = ipywidgets.HTML(_map(names, points, zero), layout=place)
        self._dot = ipywidgets.HTML("", layout=place)
        self.field = ipywidgets.Text("", continuous_update=True, layout={"display": "none"})
        self.field.add_class("course-pad-field")
        self.box = ipywidgets.GridBox(
            [self._map, self._dot, ipywidgets.HTML(surface, layout=place), self.field],
            layout={"grid_template_columns": f"{SIZE}px", "grid_template_rows": f"{SIZE}px"},
        )
        self.box.layout.flex = "0 0 auto"
        self.box.layout.overflow = "hidden"
        self.box.add_class("course-pad")
        self.field.observe(self._read, "value")

    def put(self, x: float, y: float) -> None:
        """Show the dot at a place; one outside of the pad is shown at its edge."""
        px, py = _pixels(min(max(x, 0), 1), min(max(y, 0), 1))
        self._dot.value = _svg(
            f'<circle cx="{px}" cy="{py}" r="7" fill="#D55E00" stroke="white" stroke-width="2"/>'
        )

    def _read(self, change: dict) -> None:
        try:
            x, y = (min(max(float(part), 0.0), 1.0) for part in change["new"].split())
        except ValueError:  # not from our surface
            return
        self._moved(x, y)


def _map(
    names: tuple[str, str], points: Sequence[tuple[float, float]], zero: tuple[float, float]
) -> str:
    zx, zy = _pixels(*zero)
    line = 'stroke="#BBBBBB" stroke-width="1"'
    text = 'font-family="sans-serif" font-size="12" fill="#222222"'
    dots = "".join(
        '<circle cx="{}" cy="{}" r="2"/>'.format(*_pixels(*point))
        for point in points
        if min(point) >= 0 and max(point) <= 1
    )
    return _svg(
        f'<rect width="{SIZE}" height="{SIZE}" fill="white" stroke="#888888"/>'
        f'<path d="M0 {zy}H{SIZE}M{zx} 0V{SIZE}" {line}/>'
        f'<g fill="#0072B2" fill-opacity="0.3">{dots}</g>'
        f'<text x="{SIZE - 5}" y="{SIZE - 6}" text-anchor="end" {text}>{escape(names[0])} →</text>'
        f'<text x="5" y="15" {text}>↑ {escape(names[1])}</text>'
    )


def _pixels(x: float, y: float) -> tuple[float, float]:
    return round(x * SIZE, 1), round((1 - y) * SIZE, 1)


def _svg(inside: str) -> str:
    return (
        f'<svg width="{SIZE}" height="{SIZE}" style="display:block" aria-hidden="true">'
        f"{inside}</svg>"
    )
