"""The course of a training run: afterwards, and while it lasts."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

from .curves import panels
from .picture import Picture
from .series import Panel
from .values import number

_KEYS = ("epoch", "train_distortion", "train_rate")
_SHARE = 0.05  # of the time that a live curve may spend on drawing


def history(
    rows: Sequence[Mapping[str, float | None]],
    *,
    title: str | None = None,
    alt: str | None = None,
    note: str = "",
) -> Picture:
    """Show −ELBO, distortion and rate after each epoch, for training and validation data.

    The −ELBO is distortion plus rate, whatever weight β the rate had in training.

    Args:
        rows: the history of :func:`course_lib.training.fit`: a dict for each epoch with ``epoch``,
            ``beta``, ``train_distortion``, ``train_rate``, ``valid_distortion``, ``valid_rate``
            (the latter two may be None); distortion and rate in nats per image. Values that are
            not finite are left out.
        title: states the finding; by default where the −ELBO begins and ends.
        alt: for readers who do not see it; by default the title and where each line goes.
        note: small print; that β was not 1 all the time is added.

    Raises:
        ValueError: no rows, a missing entry, or not one finite value.
    """
    rows = _check(rows)
    parts = [
        Panel(_series(rows, terms), "epoch", "nats per image", heading)
        for heading, terms in (
            ("−ELBO", ("distortion", "rate")),
            ("distortion", ("distortion",)),
            ("rate", ("rate",)),
        )
    ]
    if not all(part.series for part in parts):
        raise ValueError(
            "rows hold no finite distortion and rate; at least one epoch with both was expected. "
            "Training has diverged from the start."
        )
    betas = [row.get("beta") for row in rows]
    if any(beta is not None and beta != 1 for beta in betas):
        first, last = (number(beta) for beta in (betas[0], betas[-1]))
        weight = first if first == last else f"{first} to {last}"
        note = f"{note} In training the rate had the weight β = {weight}; here it has 1.".strip()
    return panels(parts, title=title or _finding(parts[0]), alt=alt, note=note)


class LiveHistory:
    """A :func:`history` that redraws itself in one place of a notebook while training goes on.

    It draws at most once a second and for at most 5 % of the time. Where nobody watches (the
    notebook is executed by a program, see :func:`course_lib.front_end.is_watched`) only the last
    state is drawn. What stays in the notebook is one figure.

    Args:
        title: as for :func:`history`.
    """

    def __init__(self, title: str | None = None) -> None:
        self.title = title
        self._rows: list[Mapping[str, float | None]] = []
        self._shown = 0  # rows in the picture on display
        self._due = 0.0  # seconds on the monotonic clock
        self._handle = None

    def update(self, rows: Sequence[Mapping[str, float | None]]) -> None:
        """Show all rows so far; does nothing where the last drawing is too recent."""
        from course_lib.front_end import is_watched

        self._rows = list(rows)
        if self._rows and is_watched() and time.monotonic() >= self._due:
            self._draw()

    def close(self) -> None:
        """Show what :meth:`update` has held back; call it when training ends, however it ends."""
        if len(self._rows) > self._shown:
            self._draw()

    def _draw(self) -> None:
        from IPython.display import display

        if not _series(self._rows, ("distortion", "rate")):
            return  # diverged from the start: whoever trains has more to say about that
        started = time.monotonic()
        picture = history(self._rows, title=self.title)
        if self._handle is None:
            self._handle = display(picture, display_id=True)
        else:
            self._handle.update(picture)
        self._shown = len(self._rows)
        self._due = time.monotonic() + max(1.0, (time.monotonic() - started) / _SHARE)


def live_history(*, title: str | None = None) -> LiveHistory:
    """Return a :class:`LiveHistory`: call ``update(rows)`` after each epoch, then ``close()``."""
    return LiveHistory(title)


def _check(rows: object) -> list[Mapping[str, float | None]]:
    if not isinstance(rows, Sequence) or not all(isinstance(row, Mapping) for row in rows):
        raise TypeError("rows must be a list of dicts, such as fit(...).history.")
    if not rows:
        raise ValueError("rows is empty; train for at least one epoch before plotting.")
    for i, row in enumerate(rows):
        missing = [key for key in _KEYS if key not in row]
        if missing:
            raise ValueError(
                f"rows[{i}] has no {missing[0]!r}; rows as in fit(...).history were expected, "
                f"with {', '.join(_KEYS)}."
            )
    return list(rows)


def _series(
    rows: list[Mapping[str, float | None]], terms: tuple[str, ...]
) -> dict[str, tuple[list[float], list[float]]]:
    """Return label to (epochs, sums of the terms), without what is missing or not finite."""
    series = {}
    for name, prefix in (("train", "train"), ("validation", "valid")):
        xs, ys = [], []
        for row in rows:
            values = [row.get(f"{prefix}_{term}") for term in terms]
            if all(value is not None and math.isfinite(value) for value in values):
                xs.append(float(row["epoch"]))
                ys.append(float(sum(values)))
        if xs:
            series[name] = (xs, ys)
    return series


def _finding(part: Panel) -> str:
    name = "validation" if "validation" in part.series else "train"
    xs, ys = part.series[name]
    where = {"validation": "Validation", "train": "Training"}[name]
    if len(ys) == 1:
        return f"{where} −ELBO after one epoch: {number(ys[0])} nats per image"
    verb = "falls" if ys[-1] < ys[0] else "rises"
    return (
        f"{where} −ELBO {verb} from {number(ys[0])} to {number(ys[-1])} nats per image "
        f"in {int(xs[-1])} epochs"
    )
