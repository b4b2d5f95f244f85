"""A figure as a PNG, PDF or SVG file that is either whole or not there."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sinks.plotting.styles import SCREEN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS: Final = (".png", ".pdf", ".svg")


def checked_path(path: str | os.PathLike[str]) -> Path:
    """``path``, when a figure can be saved under that name; otherwise an error that says which names can be used."""
    supported = f"supported are {', '.join(FORMATS)}"
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise TypeError(f"save_plot needs the path of a file as text or Path; got {path!r:.80} ({type(path).__name__})")
    text = os.fspath(path)
    if not text or "\0" in text:
        raise ValueError(f"save_plot needs the path of a file; got {text!r:.80} ({supported})")
    target = Path(text)
    if target.is_dir():
        raise IsADirectoryError(f"save_plot needs the path of a file; {text!r} is a folder ({supported})")
    if target.suffix.lower() not in FORMATS:
        given = f"the extension {target.suffix!r}" if target.suffix else "no extension"
        raise ValueError(f"save_plot takes the format from the extension, and {supported}; {text!r:.200} has {given}")
    return target


def save(figure: Figure, path: Path, *, dpi: float = SCREEN.png_dpi) -> None:
    """Write ``figure`` to ``path``, in the format of its extension; missing folders are made. ``dpi`` is for PNG.

    The file appears, or is replaced, at once and whole: whoever reads it meanwhile sees the old or the new one. What
    goes wrong is raised, and leaves the old one.
    """
    write_whole(rendered(figure, path.suffix.lower(), dpi=dpi), path)


def write_whole(image: bytes, path: Path) -> None:
    """Put the file at ``path``, as `save` does. One that is replaced leaves its permissions to the new one."""
    target = Path(os.path.realpath(path))  # a link goes on pointing to the file
    target.parent.mkdir(parents=True, exist_ok=True)
    neighbour = target.with_name(f".plot-{secrets.token_hex(8)}.tmp")
    file = os.open(neighbour, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(image)
            stream.flush()
            os.fsync(stream.fileno())
        with contextlib.suppress(OSError):  # as a rule there is none yet
            os.chmod(neighbour, stat.S_IMODE(os.stat(target).st_mode))
        os.replace(neighbour, target)
    except BaseException:
        neighbour.unlink(missing_ok=True)
        raise


def version(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Another one whenever the file at ``path`` was replaced; None while there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def rendered(figure: Figure, extension: str, *, dpi: float = SCREEN.png_dpi) -> bytes:
    """The bytes of the file. PDF and SVG keep text as text and hold no date, so equal figures make equal files."""
    from sinks.plotting.settings import own_settings

    dates: dict[str, dict[str, Any]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    stream = io.BytesIO()
    with own_settings(for_files=True):
        figure.savefig(
            stream,
            format=extension.removeprefix("."),
            dpi=dpi if extension == ".png" else "figure",
            facecolor=figure.get_facecolor(),
            edgecolor=figure.get_edgecolor(),
            bbox_inches=figure.bbox_inches,
            pad_inches=0.0,
            transparent=False,
            orientation="portrait",
            metadata=dates.get(extension),
        )
    return stream.getvalue()


def png_of_canvas(figure: Figure) -> bytes:
    """The pixels that the canvas of ``figure``, one based on Agg, holds by now as a PNG file; nothing is drawn."""
    from matplotlib.image import imsave

    canvas: Any = figure.canvas
    stream = io.BytesIO()
    # a tenth larger than the usual level 6, in two thirds of its time
    imsave(stream, canvas.buffer_rgba(), format="png", dpi=figure.dpi, pil_kwargs={"compress_level": 3})
    return stream.getvalue()
