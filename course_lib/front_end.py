"""Who is on the other side of the kernel: a person at a screen, or a program."""

from __future__ import annotations

import sys


def is_watched() -> bool:
    """Tell whether somebody sees the output of this cell appear, as in JupyterLab.

    False in a terminal and in a script, and where a program executes the notebook (nbclient, nbval,
    ``jupyter nbconvert --execute``). Those speak to the kernel through the Python client, whose
    message ids begin with the id of their session; those of a browser do not.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return False
    parent = kernel.get_parent("shell") or {}
    header = parent.get("header", {})
    if parent.get("metadata", {}).get("cellId"):  # a browser that lets its server speak for it
        return True
    message, session = header.get("msg_id", ""), header.get("session", "")
    return bool(message) and not (session and message.startswith(session))
