"""What a learner does: open a notebook in JupyterLab, run it all, see images, and move them."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

FIRST = Path(__file__).resolve().parents[2] / "notebooks" / "00_start_here.ipynb"
START_SECONDS = 120
RUN_SECONDS = 600  # generous: a hang must end; how fast the notebook is, is measured elsewhere
SETTINGS = {
    # All cells stay in the page, also those out of sight, so that they can be looked at.
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


EXPLORER = (
    "import torch\n"
    "from course_lib import models, widgets\n"
    "torch.manual_seed(0)\n"
    "model = models.mlp_vae((1, 8, 8), 4, (16,))  # untrained, but the same in every run",
    "widgets.explore_latents(model)",
)


@pytest.fixture
def notebook(request, tmp_path) -> Path:
    """A notebook without outputs, so that what is seen later comes from this run.

    It has the cells that the test names, or is a copy of the first one of the course.
    """
    if hasattr(request, "param"):
        cells = [new_code_cell(source) for source in request.param]
        content = new_notebook(cells=cells)
        content.metadata["kernelspec"] = {"display_name": "Python 3", "name": "python3"}
    else:
        content = nbformat.read(FIRST, as_version=4)
    for cell in content.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    path = tmp_path / "notebooks" / FIRST.name
    path.parent.mkdir()
    nbformat.write(content, path)
    return path


@pytest.fixture
def lab(notebook, tmp_path) -> Iterator[str]:
    """Start JupyterLab on a loopback port with settings of its own; yield the page to open."""
    for name, values in SETTINGS.items():
        plugin, _, setting = name.partition("/")
        file = tmp_path / "settings" / "@jupyterlab" / plugin / f"{setting}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(values))
    own = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    log = tmp_path / "jupyterlab.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0"),
                f"--ServerApp.root_dir={notebook.parent}",
                "--ServerApp.ip=127.0.0.1",
                "--IdentityProvider.token=course",
            ],
            env=os.environ | {name: str(tmp_path / folder) for name, folder in own.items()},
            cwd=notebook.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield f"{_address(server, tmp_path / 'runtime', log)}lab/tree/{notebook.name}?token=course"
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _address(server: subprocess.Popen, runtime: Path, log: Path) -> str:
    """Wait until the server answers and return its address."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        for file in runtime.glob("jpserver-*.json"):
            try:
                url = json.loads(file.read_text())["url"]
                with urllib.request.urlopen(f"{url}api/status?token=course", timeout=5):
                    return url
            except (OSError, ValueError):
                pass  # half written, or not listening yet
        time.sleep(0.2)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


def _run_all(page) -> None:
    """Choose Run All Cells, and wait until no cell is running or waiting."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    end = time.monotonic() + RUN_SECONDS
    begun = False
    while True:
        prompts = page.locator(".jp-CodeCell .jp-InputPrompt").all_text_contents()
        waiting = [prompt for prompt in prompts if "*" in prompt]
        begun = begun or bool(waiting)
        if begun and not waiting:
            return
        assert time.monotonic() < end, f"not done after {RUN_SECONDS} seconds: {prompts}"
        page.wait_for_timeout(500)


def _save(page, path: Path) -> nbformat.NotebookNode:
    """Save the notebook in the page and return what is then in the file."""
    before = path.stat().st_mtime_ns
    page.keyboard.press("Control+s")
    end = time.monotonic() + 30
    while path.stat().st_mtime_ns == before:
        assert time.monotonic() < end, "JupyterLab did not save the notebook"
        page.wait_for_timeout(100)
    page.wait_for_timeout(500)  # until the last byte is written
    return nbformat.read(path, as_version=4)


@pytest.fixture
def page(lab, browser) -> Iterator:
    """The notebook, open in a browser, its kernel ready."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(START_SECONDS * 1000)
    page.goto(lab)
    _wait_for_kernel(page)
    yield page
    page.close()


def _wait_for_kernel(page) -> None:
    page.get_by_text(re.compile(r"^Python 3.* \| Idle$")).wait_for()  # in the status bar


@pytest.mark.browser
def test_first_notebook_generates_images(page, notebook):
    _run_all(page)
    saved = _save(page, notebook)
    # JupyterLab keeps alternative text in the file and does not put it on the page.
    generated = [i for i, cell in enumerate(saved.cells) if _shows_generated(cell)]
    widths = [
        page.locator(f".jp-Notebook .jp-Cell >> nth={i}")
        .locator(".jp-OutputArea img")
        .evaluate_all("images => images.map((image) => image.complete * image.naturalWidth)")
        for i in generated
    ]

    code = [cell for cell in saved.cells if cell.cell_type == "code"]
    errors = [o for cell in code for o in cell.outputs if o.output_type == "error"]
    assert not errors, f"{errors[0].ename}: {errors[0].evalue}"
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))
    assert generated, "no picture has alternative text that begins with 'Generated'"
    assert all(shown and min(shown) > 50 for shown in widths), f"images not shown: {widths}"


def _shows_generated(cell: nbformat.NotebookNode) -> bool:
    """Say whether a picture below the cell is described as generated images."""
    metadata = [output.get("metadata", {}) for output in cell.get("outputs", [])]
    return any(m.get("image/png", {}).get("alt", "").startswith("Generated") for m in metadata)


@pytest.mark.browser
@pytest.mark.parametrize("notebook", [EXPLORER], indirect=True)
def test_latent_explorer_redraws_while_it_is_moved(page, notebook):
    _run_all(page)
    form = page.locator(".course-live")
    image = form.locator("img")
    image.wait_for()
    assert page.locator(".course-still").count() == 1
    assert not page.locator(".course-still").is_visible(), "the form takes its place"
    first = _bytes(image)
    assert first.startswith(b"\x89PNG")

    handle = form.get_by_role("slider").first
    handle.focus()
    handle.press("ArrowRight")
    second = _redrawn(image, first)
    assert re.search(r"\] = 0\.05", image.get_attribute("alt"))  # one step of one latent

    surface = form.locator(".course-pad-surface")
    box = surface.bounding_box()
    dot = form.locator(".course-pad circle[r='7']").get_attribute("cx")
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"], steps=5)
    page.mouse.up()
    _redrawn(image, second)
    page.wait_for_function(
        "parseFloat(document.querySelector('.course-live .widget-readout').textContent) > 1.4"
    )
    readouts = form.locator(".widget-readout").all_text_contents()
    # Three quarters of the way from -3 to 3, up to a dot of the screen.
    assert [float(text) for text in readouts[:2]] == pytest.approx([1.5, 1.5], abs=0.05)
    assert form.locator(".course-pad circle[r='7']").get_attribute("cx") != dot

    saved = _save(page, notebook)
    still, live = saved.cells[1].outputs
    assert len(still.metadata["image/png"]["alt"]) > 60
    assert (live.data["text/html"], live.data["text/plain"]) == ("", "")

    page.request.delete(_kernels(page))
    page.reload()
    _wait_for_kernel(page)
    page.locator(".course-still").wait_for()  # visible again: the form has lost its kernel
    stale = page.get_by_text("Error displaying widget")
    stale.wait_for(state="attached")
    assert not stale.is_visible()


def _bytes(image) -> bytes:
    """Return the file that an image in the page shows, wherever its address leads."""
    text = image.evaluate(
        """async (image) => {
            const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
            return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
        }"""
    )
    return base64.b64decode(text)


def _redrawn(image, before: bytes) -> bytes:
    """Wait until an image in the page is another one; return its bytes."""
    end = time.monotonic() + 30
    while (after := _bytes(image)) == before:
        assert time.monotonic() < end, "the picture did not change"
        image.page.wait_for_timeout(20)
    assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 50
    return after


def _kernels(page) -> str:
    """Return the address of the only kernel."""
    root = page.url.split("/lab")[0]
    (kernel,) = page.request.get(f"{root}/api/kernels?token=course").json()
    return f"{root}/api/kernels/{kernel['id']}?token=course"
