"""The network: whether a host answers, downloads, and the Kaggle client, called in a process of its own.

The client (https://github.com/Kaggle/kaggle-cli) authenticates when it is imported, prints, exits and waits as it
likes; all of that is for its own process. ``python -m houseprice.online CALL ARGUMENTS`` is that process.
"""

import contextlib
import hashlib
import http.client
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from houseprice.errors import NetworkError

KAGGLE = "https://api.kaggle.com"
INSTALL = f"Install it: {sys.executable} -m pip install kaggle six"  # it imports six, and doesn't say so

Call = Literal["download", "submit", "submissions"]


def check_online(url: str, timeout: float = 4.0) -> None:
    """Find out within ``timeout`` seconds whether a URL's host can be reached; a name look-up alone may hang longer.

    Raises
    ------
    NetworkError
        If it can't be; where a proxy is set up, if that can't be.
    """
    parts = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.netloc):
        parts = urllib.parse.urlsplit(proxy if "://" in proxy else f"//{proxy}")
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    outcome: list[str] = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=timeout).close()
            outcome.append("")
        except OSError as error:
            outcome.append(error.strerror or str(error))

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(timeout)
    reason = outcome[0] if outcome else f"no answer within {timeout:.0f} s"
    if reason:
        raise NetworkError(f"offline? {host} cannot be reached: {reason}")


def download(
    url: str,
    digest: str,
    algorithm: Literal["sha1", "md5"] = "sha1",
    *,
    timeout: float = 4.0,
    attempts: int = 2,
    deadline: float = 120.0,
) -> bytes:
    """Download one file and check it against its published digest.

    A proxy of the environment (``http_proxy``, ``no_proxy``) is used.

    Parameters
    ----------
    url, digest, algorithm
        Where it is, and what its bytes hash to, in hexadecimal.
    timeout
        Seconds to wait for a connection, and for each piece of the answer.
    attempts
        How often to try; being offline is final at once.
    deadline
        Seconds that the whole of one attempt may take.

    Raises
    ------
    NetworkError
        One line with the URL, the reason and what arrived.
    """
    check_online(url, timeout)
    reason, name = "", {"sha1": "SHA-1", "md5": "MD5"}[algorithm]
    for _ in range(attempts):
        try:
            data = _get(url, timeout, deadline)
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = str(error) or type(error).__name__
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                break
            continue
        found = hashlib.new(algorithm, data).hexdigest()
        if found == digest:
            return data
        reason = f"its {name} is {found}, not {digest} ({len(data)} bytes arrived)"
    raise NetworkError(f"{url}: download failed: {reason}")


def _get(url: str, timeout: float, deadline: float) -> bytes:
    start, pieces = time.monotonic(), []
    opener = urllib.request.build_opener()  # `urlopen` would keep the proxies of its first call
    with opener.open(url, timeout=timeout) as answer:
        while piece := answer.read1(1 << 16):  # what has arrived: `read` would wait for all of it
            pieces.append(piece)
            if time.monotonic() - start > deadline:
                raise TimeoutError(f"not complete after {deadline:.0f} s")
    return b"".join(pieces)


def kaggle_is_configured() -> bool:
    """Whether the Kaggle client is installed here and has credentials, of whatever kind."""
    home = Path.home() / ".kaggle"
    standard = Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config")) / "kaggle"
    folders = {home, standard, Path(os.environ.get("KAGGLE_CONFIG_DIR", home))}
    files = ("kaggle.json", "access_token", "access_token.txt", "credentials.json")
    credentials = {"KAGGLE_KEY", "KAGGLE_API_TOKEN"} & set(os.environ) or any(
        (folder / name).exists() for folder in folders for name in files
    )
    return bool(credentials) and importlib.util.find_spec("kaggle") is not None


def call_kaggle(call: Call, competition: str, timeout: float, **arguments: str) -> Any:
    """Let the Kaggle client do something.

    Parameters
    ----------
    call
        "download" (``folder``) brings a competition's archive; "submit" (``path``, ``message``) hands in a file;
        "submissions" lists what was handed in.
    competition
        Its name on Kaggle: the last part of its address.
    timeout
        Seconds until it is given up.

    Returns
    -------
    Any
        For "submissions" a list, the newest first, of ``ref``, ``description``, ``status`` ("PENDING", "COMPLETE",
        "ERROR"), ``public``, ``private`` and ``error``, each as the competition writes it.

    Raises
    ------
    NetworkError
        One line: what went wrong, in Kaggle's words, and the way out.
    """
    if importlib.util.find_spec("kaggle") is None:
        raise NetworkError(f"kaggle: its client is not installed. {INSTALL}")
    check_online(KAGGLE)  # the client itself would try for minutes
    command = [sys.executable, "-P", "-m", "houseprice.online", call, competition, json.dumps(arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired as error:
        raise NetworkError(f"kaggle: no answer to {call} within {timeout:.0f} s. Try again later.") from error
    except ValueError as error:
        said = done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"]
        raise NetworkError(f"kaggle: its client failed: {said[-1]}") from error
    if "status" in answer:
        raise NetworkError(f"kaggle: {_explained(answer['status'], ' '.join(answer['reason'].split()), competition)}")
    return answer["result"]


def _explained(status: int, reason: str, competition: str) -> str:
    """What went wrong, and the way out."""
    if re.search(r"allowance|quota|daily|submission limit", reason, re.IGNORECASE):
        return f"{reason}. The submissions of the day are used up; there are new ones from midnight UTC on."
    if status == 401:
        return (
            f"{reason}. Log in with `kaggle auth login`, or save a token from https://www.kaggle.com/settings/api as "
            "~/.kaggle/access_token."
        )
    if status == 403:
        return (
            f"{reason}. Join the competition and accept its rules: "
            f"https://www.kaggle.com/competitions/{competition}/rules (its name is [ingest].kaggle)"
        )
    if status == 404:
        return f"{reason}. There is no competition {competition!r}, or it is closed; correct [ingest].kaggle."
    return f"{reason}. Try again later." if status >= 500 else reason


def _answer(call: str, competition: str, arguments: dict[str, str]) -> dict[str, Any]:
    """What the client answers, or the HTTP status that says best why it doesn't. It may print whatever it likes."""
    try:
        from kaggle import api

        api.authenticate()
        return {"result": _CALLS[call](api, competition, **arguments)}
    except ImportError as error:
        return {"status": 0, "reason": f"its client can't be imported: {error}. {INSTALL}"}
    except SystemExit:
        return {"status": 401, "reason": "found no credentials that kaggle.com accepts"}
    except Exception as error:  # of the client, of requests, of the system: all are told in one line
        status = getattr(getattr(error, "response", None), "status_code", 0)
        if status == 401:
            return {"status": 401, "reason": "the credentials are not accepted"}
        if status:
            return {"status": status, "reason": str(error).rstrip(". ")}
        at_fault = 503 if isinstance(error, OSError) else 0  # a connection that fails is the other side's
        return {"status": at_fault, "reason": f"{type(error).__name__}: {error}"}


def _download(api: Any, competition: str, folder: str) -> None:
    api.competition_download_files(competition, folder, quiet=True)


def _submit(api: Any, competition: str, path: str, message: str) -> None:
    answer = api.competition_submit(path, message, competition, quiet=True)
    if answer.message == api.COMPETITION_SUBMIT_UPLOAD_FAILED_MESSAGE:
        raise ConnectionError("the file could not be uploaded")


def _submissions(api: Any, competition: str) -> list[dict[str, Any]]:
    return [
        {
            "ref": found.ref,
            "description": found.description,
            "status": found.status.name,
            "public": found.public_score,
            "private": found.private_score,
            "error": found.error_description,
        }
        for found in api.competition_submissions(competition, page_size=200) or ()
    ]


_CALLS: dict[str, Callable[..., Any]] = {"download": _download, "submit": _submit, "submissions": _submissions}

if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        answer = _answer(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
    print(json.dumps(answer))
