"""What all live figures share: a picture on every page, a form where somebody watches."""

from __future__ import annotations

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook

from course_lib import widgets
from course_lib.models import mlp_vae

VIEW = "application/vnd.jupyter.widget-view+json"


def calls() -> dict:
    torch.manual_seed(0)
    model = mlp_vae((1, 6, 7), 3, (8,))
    x = torch.rand(5, 1, 6, 7).round()
    return {
        "latents": lambda: widgets.explore_latents(model, x),
        "interpolation": lambda: widgets.scrub_interpolation(model, x[0], x[1]),
        "reparameterization": widgets.explore_reparameterization,
        "kl": widgets.explore_kl,
        "beta": lambda: widgets.explore_beta({1.0: model, 4.0: model}, x),
    }


@pytest.mark.parametrize("name", calls())
def test_nobody_watches_one_picture_with_alternative_text(shown, name):
    calls()[name]()
    (picture,) = shown
    data, metadata = picture._repr_mimebundle_()
    assert set(data) == {"image/png", "text/html", "text/plain"}
    assert len(metadata["image/png"]["alt"]) > 60 and "<style" not in data["text/html"]


@pytest.mark.parametrize("name", calls())
def test_somebody_watches_the_picture_and_the_form(watched, name):
    calls()[name]()
    still, form = watched
    data, metadata = still._repr_mimebundle_()
    assert metadata["image/png"]["alt"] and "course-still" in data["text/html"]
    assert ".jp-OutputArea-output.jupyter-widgets { display: none }" in data["text/html"]
    assert "course-live" in form.parts.box._dom_classes
    bundle = form._repr_mimebundle_()
    assert bundle.pop(VIEW)["model_id"]
    assert bundle == {"text/html": "", "text/plain": ""}, "words would stand in for a stale form"


@pytest.mark.parametrize("name", calls())
def test_random_numbers_of_the_notebook_stay_as_they_were(watched, name):
    call = calls()[name]
    before = torch.get_rng_state()
    call()
    parts = watched[1].parts
    if name == "latents":
        parts.random.click()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_program_stores_pictures_and_no_widget_state():
    """nbclient keeps the state of every widget that was made; here there is none to keep."""
    nbclient = pytest.importorskip("nbclient")
    code = [
        "import torch; from course_lib import models, widgets\ntorch.manual_seed(0)\n"
        "model = models.mlp_vae((1, 4, 4), 2, (4,)); x = torch.rand(3, 1, 4, 4).round()",
        "widgets.explore_latents(model, x)\nwidgets.scrub_interpolation(model, x[0], x[1])\n"
        "widgets.explore_kl()\nwidgets.explore_reparameterization()\n"
        "widgets.explore_beta({1.0: model}, x)",
    ]
    notebook = new_notebook(cells=[new_code_cell(source) for source in code])
    nbclient.NotebookClient(notebook, timeout=120, store_widget_state=True).execute()
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    outputs = notebook.cells[1].outputs
    assert [o.output_type for o in outputs] == ["display_data"] * 5
    for output in outputs:
        assert set(output.data) == {"image/png", "text/html", "text/plain"}
        assert len(output.metadata["image/png"]["alt"]) > 60


@pytest.mark.cuda
def test_models_on_the_gpu(watched):
    model = mlp_vae((1, 6, 7), 3, (8,), prior="mixture", components=2).cuda()
    x = torch.rand(5, 1, 6, 7).round()
    for images in (x, x.cuda()):
        widgets.explore_latents(model, images)
        widgets.scrub_interpolation(model, images[0], images[1])
        widgets.explore_beta({1.0: model}, images)
    before = watched[1].parts.image.value
    watched[1].parts.random.click()
    assert watched[1].parts.image.value != before
