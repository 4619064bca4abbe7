"""In a real kernel: what a program stores of the widgets, and what a browser is shown."""

from __future__ import annotations

import os
import uuid

import pytest

nbclient = pytest.importorskip("nbclient")
manager = pytest.importorskip("jupyter_client.manager")

CODE = """
from course_lib.front_end import is_watched
from course_lib.widgets import prediction, quiz, recall
print(is_watched())
prediction("02-gap", "How large?", unit="nats")
recall("02-gap", "3 nats")
"""
VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """A kernel without notes, and its client."""
    notes = {**os.environ, "COURSE_NOTES": str(tmp_path_factory.mktemp("notes"))}
    running, client = manager.start_new_kernel(kernel_name="python3", env=notes)
    yield client
    client.stop_channels()
    running.shutdown_kernel(now=True)


def execute(client, code: str, *, browser: bool) -> list[dict]:
    """Run code as a program does, or as a page in a browser does; return the messages."""
    content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
    message = client.session.msg("execute_request", content)
    if browser:
        name = str(uuid.uuid4())
        message["header"]["msg_id"] = message["msg_id"] = name
    client.shell_channel.send(message)
    messages = []
    while True:
        reply = client.get_iopub_msg(timeout=120)
        if reply["parent_header"].get("msg_id") != message["header"]["msg_id"]:
            continue
        assert reply["msg_type"] != "error", reply["content"]
        if reply["msg_type"] == "status" and reply["content"]["execution_state"] == "idle":
            return messages
        messages.append(reply)


def displayed(messages: list[dict]) -> list[dict]:
    return [m["content"]["data"] for m in messages if m["msg_type"] == "display_data"]


def printed(messages: list[dict]) -> str:
    return "".join(m["content"]["text"] for m in messages if m["msg_type"] == "stream")


def test_programs_store_pages_without_forms(kernel):
    first, second = (execute(kernel, CODE, browser=False) for _ in range(2))
    assert printed(first) == "False\n"
    assert [set(data) for data in displayed(first)] == [{"text/html", "text/plain"}] * 2
    assert not any(m["msg_type"].startswith("comm") for m in first)
    assert displayed(first) == displayed(second)  # nothing random is stored


def test_browsers_show_a_form(kernel):
    messages = execute(kernel, CODE, browser=True)
    assert printed(messages) == "True\n"
    question, form, meeting = displayed(messages)
    assert "How large?" in question["text/plain"]
    assert form[VIEW]["model_id"]
    assert "What happened: 3 nats" in meeting["text/plain"]
