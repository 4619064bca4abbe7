"""Lines show the data that they are given, and say where they go."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gallery import rows
from matplotlib.colors import to_rgb

from course_lib import plotting
from course_lib.plotting import Panel
from course_lib.plotting.style import COLORS, ink, style

XS = torch.tensor([1.0, 2.0, 4.0])


def line(series, **options):
    options = {"xlabel": "x (m)", "ylabel": "y (nats)", "title": "t", **options}
    return plotting.lines(series, **options)


def drawn(axes) -> dict[str, tuple[list, list]]:
    return {
        artist.get_label(): (list(artist.get_xdata()), list(artist.get_ydata()))
        for artist in axes.lines
        if not artist.get_label().startswith("_")
    }


def test_data_labels_and_axes_are_drawn():
    figure = line({"a": (XS, XS**2), "b": ([1, 2], np.array([3, 4]))}, logx=True).figure
    (axes,) = figure.axes
    assert drawn(axes) == {"a": ([1, 2, 4], [1, 4, 16]), "b": ([1, 2], [3, 4])}
    assert axes.get_xlabel() == "x (m)"
    assert axes.get_ylabel() == "y (nats)"
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    names = {text.get_text(): text.xy for text in axes.texts}
    assert names["a"] == (4, 16)
    assert names["b"] == (2, 4)


def test_band_holds_two_standard_errors():
    picture = line({"a": (XS, XS, torch.tensor([0.1, 0.2, 0.3]))})
    (band,) = picture.figure.axes[0].collections
    points = band.get_paths()[0].vertices
    at_four = points[np.isclose(points[:, 0], 4)][:, 1]
    assert at_four.min() == pytest.approx(3.4)
    assert at_four.max() == pytest.approx(4.6)
    assert any("± 2 standard errors" in text.get_text() for text in picture.figure.texts)


def test_default_alt_says_where_each_line_goes():
    alt = line({"a": ([0, 1, 2], [5.0, -1.0, 3.0])}, reference={"exact": 4.25}).alt
    assert alt == (
        "t. y (nats) against x (m). a: from 5 at 0 to 3 at 2, lowest −1 at 1. "
        "Reference line exact: 4.25."
    )


def test_names_at_the_ends_do_not_cover_each_other():
    series = {f"series {i}": ([0, 1], [0, 1 + i / 1000]) for i in range(6)}
    figure = line(series).figure
    with style():
        figure.canvas.draw()
        boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 6
    for i, a in enumerate(boxes):
        assert not any(a.overlaps(b) for b in boxes[:i])
    order = [t.get_text() for t in sorted(figure.axes[0].texts, key=lambda t: t.get_position()[1])]
    assert order == sorted(order)


def test_lines_differ_in_more_than_color():
    figure = line({f"{i}": (XS, XS + i) for i in range(14)}).figure
    looks = {(a.get_color(), a.get_linestyle(), a.get_marker()) for a in figure.axes[0].lines}
    assert len(looks) == 14
    markers = [a.get_marker() for a in figure.axes[0].lines[: len(COLORS)]]
    assert len(set(markers)) == len(COLORS)


@pytest.mark.parametrize("color", COLORS)
def test_colored_text_is_legible_on_white(color):
    linear = [
        c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(ink(color))
    ]
    luminance = np.dot(linear, [0.2126, 0.7152, 0.0722])
    assert 1.05 / (luminance + 0.05) >= 4.49


def test_a_label_keeps_its_color_in_every_panel():
    parts = [
        Panel({"a": (XS, XS), "b": (XS, XS)}, "x", "y"),
        Panel({"b": (XS, XS)}, "x", "y"),
    ]
    first, second = plotting.panels(parts, title="t").figure.axes
    assert second.lines[0].get_color() == first.lines[1].get_color() == COLORS[1]


def test_plain_numbers_on_logarithmic_axes():
    figure = line({"a": ([1, 10, 1000], [1e-8, 1, 1e8])}, logx=True, logy=True).figure
    with style():
        figure.canvas.draw()
    labels = {t.get_text() for t in figure.axes[0].get_xticklabels()}
    assert {"1", "10", "100", "1,000"} <= labels
    assert "$10^{-8}$" in {t.get_text() for t in figure.axes[0].get_yticklabels()}


@pytest.mark.parametrize(
    ("series", "options", "error", "message"),
    [
        ({}, {}, ValueError, "series is empty"),
        ([1, 2], {}, ValueError, "no mapping"),
        ({"a": [1, 2]}, {}, ValueError, "no pair"),
        ({"a": (XS, XS, XS, XS)}, {}, ValueError, "no pair"),
        ({"a": (XS, XS[:2])}, {}, ValueError, "lengths 3 and 2"),
        ({"a": (XS, torch.ones(3, 2))}, {}, ValueError, r"shape \[3, 2\]"),
        ({"a": (XS[:0], XS[:0])}, {}, ValueError, "empty"),
        ({"a": (XS, ["x", "y", "z"])}, {}, TypeError, "numbers"),
        ({"a": (XS, torch.tensor([1, math.nan, 2]))}, {}, ValueError, "1 of 3 values"),
        ({"a": (XS, -XS)}, {"logy": True}, ValueError, "y values down to -4"),
        ({"a": (XS, XS, -XS)}, {}, ValueError, "negative standard errors"),
        ({"a": (XS, XS)}, {"xlabel": ""}, ValueError, "xlabel is ''"),
        ({"a": (XS, XS)}, {"reference": {"r": math.inf}}, ValueError, "reference"),
    ],
)
def test_bad_lines_get_one_sentence(series, options, error, message):
    with pytest.raises(error, match=message):
        line(series, **options)


def test_bad_panels_get_one_sentence():
    with pytest.raises(ValueError, match="at least one Panel"):
        plotting.panels([], title="t")
    with pytest.raises(TypeError, match="list of Panel"):
        plotting.panels(Panel({"a": (XS, XS)}, "x", "y"), title="t")


def test_history_shows_the_bound_and_its_terms():
    history = rows(4)
    bound, distortion, rate = plotting.history(history).figure.axes
    assert [a.get_title("left") for a in (bound, distortion, rate)] == [
        "−ELBO",
        "distortion",
        "rate",
    ]
    for name, prefix in (("train", "train"), ("validation", "valid")):
        terms = [[r[f"{prefix}_{term}"] for r in history] for term in ("distortion", "rate")]
        assert drawn(distortion)[name] == ([1, 2, 3, 4], terms[0])
        assert drawn(rate)[name] == ([1, 2, 3, 4], terms[1])
        assert drawn(bound)[name][1] == pytest.approx(list(np.sum(terms, 0)))


def test_history_says_that_beta_was_not_one():
    def small_print(history):
        return " ".join(t.get_text() for t in plotting.history(history).figure.texts)

    assert "β = 0.3333 to 1" in small_print(rows(4))
    assert "β" not in small_print([{**row, "beta": 1.0} for row in rows(4)])


def test_history_leaves_out_what_is_missing():
    history = rows(3, validation=False)
    history[1]["train_rate"] = math.nan
    bound, *_ = plotting.history(history).figure.axes
    assert drawn(bound) == {"train": ([1, 3], pytest.approx([160.5, 121.5]))}


def test_history_title_states_where_the_bound_goes():
    alt = plotting.history(rows(4)).alt
    assert alt.startswith("Validation −ELBO falls from 158 to 118.2 nats per image in 4 epochs.")


@pytest.mark.parametrize(
    ("history", "error", "message"),
    [
        ([], ValueError, "rows is empty"),
        ([1, 2], TypeError, "list of dicts"),
        ([{"epoch": 1}], ValueError, "'train_distortion'"),
        ([{**rows(1)[0], "train_rate": math.nan, "valid_rate": None}], ValueError, "diverged"),
    ],
)
def test_bad_history_gets_one_sentence(history, error, message):
    with pytest.raises(error, match=message):
        plotting.history(history)


@pytest.fixture
def screen(monkeypatch):
    """A screen that counts what it is shown, and a clock that moves when told to."""
    from course_lib.plotting import training_runs as module

    class Screen:
        now, shown, watched = 100.0, [], True

        def display(self, picture, display_id):
            assert display_id
            self.shown = [picture.alt]
            return self

        def update(self, picture):
            self.shown = [*self.shown, picture.alt]

    screen = Screen()
    monkeypatch.setattr("IPython.display.display", screen.display)
    monkeypatch.setattr("course_lib.front_end.is_watched", lambda: screen.watched)
    monkeypatch.setattr(module.time, "monotonic", lambda: screen.now)
    return screen


def test_live_history_draws_once_a_second_and_ends_with_the_last_row(screen):
    live = plotting.live_history()
    for epoch in range(1, 12):
        live.update(rows(epoch))
        screen.now += 0.3
    assert len(screen.shown) == 3  # after 0, 1.2 and 2.4 seconds
    live.close()
    assert len(screen.shown) == 4
    assert "at 11." in screen.shown[-1]
    live.close()
    assert len(screen.shown) == 4


def test_live_history_draws_only_the_end_where_nobody_watches(screen):
    screen.watched = False
    live = plotting.live_history(title="A run")
    for epoch in range(1, 4):
        live.update(rows(epoch))
        screen.now += 10
    assert not screen.shown
    live.close()
    assert len(screen.shown) == 1
    assert screen.shown[0].startswith("A run.")


def test_live_history_closes_quietly_without_anything_to_show(screen):
    live = plotting.live_history()
    live.close()
    live.update([{**rows(1)[0], "train_rate": math.nan, "valid_rate": math.nan}])
    live.close()
    assert not screen.shown
