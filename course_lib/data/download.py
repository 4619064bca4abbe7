"""Fetch a small file from the first mirror that serves the right bytes.

torchvision's downloader checks MD5 sums too, but waits for ever on a silent server, gives up on
an interrupted connection without trying the next mirror, cannot hide its progress bar, and
unpacks straight onto the final name, where `MNIST._check_exists` takes half a file for a whole.
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence

__all__ = ["fetch"]

TIMEOUT = 20.0  # seconds without a single byte


def _get(url: str, progress: bool) -> bytes:
    """Return the body of ``url``, with a progress bar."""
    from tqdm.auto import tqdm

    request = urllib.request.Request(url, headers={"User-Agent": "vae-course"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        bar = tqdm(
            total=response.length,
            unit="B",
            unit_scale=True,
            desc=url.rsplit("/", 1)[-1],
            disable=not progress,
            leave=False,
        )
        with bar:
            body = bytearray()
            while chunk := response.read(1 << 16):
                body += chunk
                bar.update(len(chunk))
    return bytes(body)


def fetch(urls: Sequence[str], md5: str, *, progress: bool = True) -> bytes:
    """Return the file that has checksum ``md5`` from the first of ``urls`` that serves it.

    Args:
        urls: the same file on several servers, in the order in which to try them.
        md5: MD5 checksum of the file, hexadecimal.
        progress: show a progress bar.

    Raises:
        ConnectionError: no server gave the file; the message says what each one did.
    """
    faults = []
    for url in urls:
        try:
            body = _get(url, progress)
        except urllib.error.HTTPError as error:
            fault = f"HTTP {error.code}"
        except (OSError, http.client.HTTPException, ValueError) as error:
            fault = str(getattr(error, "reason", None) or error) or type(error).__name__
        else:
            if hashlib.md5(body, usedforsecurity=False).hexdigest() == md5:
                return body
            fault = f"{len(body):,} bytes with another MD5 sum"
        faults.append(f"{urllib.parse.urlsplit(url).netloc}: {fault}")
    raise ConnectionError("; ".join(faults))
