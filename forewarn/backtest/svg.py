"""A picture as SVG: text, so that it can be read, scaled and compared."""

from __future__ import annotations

from xml.sax.saxutils import escape

from forewarn.backtest.picture import PAPER, Fill, Picture, Points, Shape, Stroke


def render(picture: Picture) -> bytes:
    """Return the document; linear in the number of points."""
    size = f'width="{picture.width}" height="{picture.height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
            f'viewBox="0 0 {picture.width} {picture.height}" '
            'font-family="system-ui, sans-serif" font-size="12">',
            f'<rect width="100%" height="100%" fill="{PAPER}"/>',
            *(_shape(shape) for shape in picture.shapes),
            "</svg>\n",
        ]
    ).encode()


def _shape(shape: Shape) -> str:
    if isinstance(shape, Stroke):
        dash = ' stroke-dasharray="5 4"' if shape.dashed else ""
        return (
            f'<polyline points="{_points(shape.points)}" fill="none" stroke="{shape.colour}" '
            f'stroke-width="{shape.width}" stroke-linejoin="round"{dash}/>'
        )
    if isinstance(shape, Fill):
        return (
            f'<polygon points="{_points(shape.points)}" fill="{shape.colour}" '
            f'fill-opacity="{shape.opacity}"/>'
        )
    return (
        f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" fill="{shape.colour}" '
        f'text-anchor="{shape.anchor}">{escape(shape.text)}</text>'
    )


def _points(points: Points) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
