"""The recipes are complete, and the published table is made again from a clean start."""

import json

import pytest
import torch

from course_lib.checkpoints import read_checkpoint
from course_lib.recipes import RECIPES, fit_options, make_model, recipe
from course_lib.reproduce import BURDA, ROWS, reproduce
from course_lib.training import fit

SMALL = {"data": "strokes", "num_samples": 7, "limit": 120, "passes": 0.02}


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    for name, row in ROWS.items():
        small = row.settings | {"hidden": [8], "latent_dim": 2}
        monkeypatch.setitem(ROWS, name, type(row)(row.name, small, row.published, row.source))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_what_it_says(name):
    settings = recipe(name) | {"epochs": 1}
    model = make_model(settings, (1, 8, 8))
    assert model.spec["model"] == settings["model"]
    assert model.latent_dim == settings.get("latent_dim", sum(settings.get("sizes", [])))
    assert model.spec.get("hidden") == settings.get("hidden") or name == "conv"
    options = fit_options(settings)
    assert (options["final_objective"] is None) == (settings["iwae"] == 1)
    x = torch.rand(60, 1, 8, 8).round()
    assert len(fit(model, x, **options, progress=False).history) == 1


def test_a_recipe_is_a_copy_and_an_unknown_one_is_answered():
    recipe("quick")["epochs"] = 99
    assert recipe("quick")["epochs"] == 10
    recipe("hierarchical")["hidden"][0].append(9)
    assert recipe("hierarchical")["hidden"] == [[300, 300], [100]]
    with pytest.raises(ValueError, match="Did you mean 'quick'"):
        recipe("quik")
    with pytest.raises(ValueError, match="iwae is 0"):
        fit_options(recipe("quick") | {"iwae": 0})
    with pytest.raises(ValueError, match="Did you mean 'mlp'"):
        make_model(recipe("quick") | {"model": "mpl"}, (1, 8, 8))


def test_the_rows_are_those_of_the_paper():
    """Burda et al. 2016, table 1, one stochastic layer: 784-200-200-50 with tanh."""
    published = {"vae": (1, 86.76), "iwae-5": (5, 85.54), "iwae-50": (50, 84.78)}
    for name, (draws, nats) in published.items():
        row = ROWS[name]
        assert (row.settings["iwae"], row.published, row.source) == (draws, nats, BURDA)
        assert row.settings["activation"] == "tanh"
        # Their bound is the objective of every step, not of the last ones only.
        assert draws == 1 or row.settings["final_share"] == 1.0


def test_the_table_is_made_stopped_and_gone_on_with(tmp_path, capsys, monkeypatch):
    first = reproduce(["vae", "iwae-5"], out=tmp_path, **SMALL)
    text = capsys.readouterr().out
    assert "IWAE-7 on 120 test images of strokes" in text and "all 10,000 test images" in text
    for name, value in first.items():
        assert f"| {value} | {ROWS[name].published:.2f} | {BURDA} |" in text
    kept = json.loads((tmp_path / "iwae-5.json").read_text())
    assert kept["K"] == 7 and kept["mean"] <= kept["elbo"]  # IWAE-K is the tighter bound
    assert read_checkpoint(tmp_path / "iwae-5.pt")["settings"]["final_share"] == 1.0

    import course_lib.reproduce as room

    def never(*args, **kwargs):
        raise AssertionError("evaluated twice")

    monkeypatch.setattr(room, "evaluate", never)
    assert reproduce(["iwae-5", "vae"], out=tmp_path, **SMALL) == {
        name: first[name] for name in ("iwae-5", "vae")
    }
    with pytest.raises(AssertionError, match="evaluated twice"):  # another K is another figure
        reproduce(["vae"], out=tmp_path, **SMALL | {"num_samples": 8})


def test_the_rows_do_not_depend_on_each_other(tmp_path):
    both = reproduce(["vae", "iwae-5"], out=tmp_path / "both", **SMALL)
    alone = reproduce(["iwae-5"], out=tmp_path / "alone", **SMALL)
    assert both["iwae-5"] == alone["iwae-5"]


def test_bad_input_gets_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'iwae-5'"):
        reproduce(["iwae5"], out=tmp_path, **SMALL)
    with pytest.raises(ValueError, match="passes is 0"):
        reproduce(["vae"], out=tmp_path, **SMALL | {"passes": 0})
