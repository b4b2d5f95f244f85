"""A figure drawn onto what is kept of the last time: of a redraw, most is numbers, words and frames that are the same.

The *front* of a figure, its lines and images, is what matplotlib calls animated: it leaves them out when it draws the
rest, which is kept as pixels and drawn anew only when matplotlib holds it to be stale. So a redraw costs what the lines
cost. When the figure is saved to a file matplotlib draws all of it, as always.
"""

from __future__ import annotations

from typing import Any

from matplotlib.artist import Artist
from matplotlib.figure import Figure


def can_be_kept(figure: Figure) -> bool:
    """Whether the canvas of ``figure`` can give its pixels away and take them back, as those based on Agg can."""
    return bool(figure.canvas.supports_blit)


class Background:
    """The pixels behind the front of ``figure``, whose canvas stays. One thread at a time.

    Whoever has the canvas drawn, such as a window that is made larger, gets the front with it.
    """

    def __init__(self, figure: Figure) -> None:
        self._figure = figure
        self._kept: Any = None
        self._size: tuple[float, ...] = ()
        figure.canvas.mpl_connect("draw_event", lambda event: self._keep())

    def draw(self) -> bool:
        """Draw the figure onto its canvas. Gives whether the background was drawn as well."""
        canvas: Any = self._figure.canvas
        if self._kept is None or self._figure.stale or self._size != self._figure.bbox.bounds:
            canvas.draw()
            return True
        canvas.restore_region(self._kept)
        self._draw_front()
        canvas.blit(self._figure.bbox)
        return False

    def _keep(self) -> None:
        """The background has just been drawn, by whomever: keep it, and draw the front over it."""
        canvas: Any = self._figure.canvas
        if canvas.is_saving():  # to a file, the front included
            return
        self._kept = canvas.copy_from_bbox(self._figure.bbox)
        self._size = self._figure.bbox.bounds
        self._draw_front()

    def _draw_front(self) -> None:
        for axes in self._figure.axes:
            front = [artist for artist in axes.get_children() if artist.get_animated()]
            for artist in sorted(front, key=Artist.get_zorder):
                axes.draw_artist(artist)
