"""`submit --upload`: the real Kaggle client, in its own process, against a server on loopback."""

import hashlib
import json
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from competitions import COMPETITION, entry_of, environment, open_plan, write_competition
from houseprice.compete import upload
from houseprice.compete.leaderboard import Row, rows
from houseprice.compete.ledger import board_scores
from houseprice.errors import NetworkError
from houseprice.online import call_kaggle
from kaggle_server import Kaggle, point_the_client_at, serving
from test_cli import call, fail, succeed

TOML = COMPETITION.replace("[folds.main]", '[ingest]\nkaggle = "tiny-houses"\n\n[folds.main]')
RULES = "https://www.kaggle.com/competitions/tiny-houses/rules"
SUBMITTED = ("StartSubmissionUpload", "PUT", "CreateSubmission")
SUBMISSIONS = "https://www.kaggle.com/competitions/tiny-houses/submissions"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which `submit ridge` has ended."""
    root = tmp_path_factory.mktemp("original")
    write_competition(root, toml=TOML)
    succeed(root, "submit", "ridge")
    return root


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kaggle]:
    """The server, which the client takes for kaggle.com; nobody waits for what is pending."""
    monkeypatch.setattr(upload, "PATIENCE_SECONDS", 0.0)
    with serving() as kaggle:
        point_the_client_at(kaggle.url, tmp_path / "home", monkeypatch)
        yield kaggle


def board_of(root: Path) -> Path:
    return root / "data" / "tiny" / "leaderboard.db"


def entry_row(root: Path) -> Row:
    (row,) = (row for row in rows(board_of(root)) if row.kind == "entry")
    return row


def refused(root: Path) -> str:
    """Upload in vain: one line, a status of 1, and nothing in the ledger."""
    line = fail(root, "submit", "ridge", "--upload")
    assert board_scores(board_of(root)) == []
    return line


def test_an_entry_is_handed_in_and_its_score_recorded(root: Path, kaggle: Kaggle) -> None:
    lines = succeed(root, "submit", "ridge", "--upload").splitlines()
    assert lines[0].startswith(str(entry_of(root, "ridge")))
    assert lines[1] == "submission 1000 to tiny-houses: public 0.12345"
    (score,) = board_scores(board_of(root))
    entry = entry_row(root)
    assert (score.entry, score.public, score.private) == (entry, 0.12345, None)
    assert dict(kaggle.calls)["PUT"] == entry_of(root, "ridge").read_bytes()
    submitted = dict(kaggle.calls)["CreateSubmission"]
    assert submitted["competitionName"] == "tiny-houses"
    assert submitted["submissionDescription"] == f"{entry.key} out-of-fold log_rmse {entry.score:.5f}"


def test_a_private_score_is_recorded_where_it_is_shown(root: Path, kaggle: Kaggle) -> None:
    kaggle.outcome = {"status": "COMPLETE", "publicScore": "0.12345", "privateScore": "0.0"}
    assert "public 0.12345, private 0.00000" in succeed(root, "submit", "ridge", "--upload")
    assert [score.private for score in board_scores(board_of(root))] == [0.0]


def test_what_is_pending_is_said_and_handed_in_no_second_time(root: Path, kaggle: Kaggle) -> None:
    kaggle.outcome = {"status": "PENDING"}
    assert "submission 1000 to tiny-houses: pending; the same command" in succeed(root, "submit", "ridge", "--upload")
    assert board_scores(board_of(root)) == []
    kaggle.submissions[0] |= {"status": "COMPLETE", "publicScore": "0.2"}
    result = call(root, "submit", "ridge", "--upload")
    assert "submission 1000 to tiny-houses: public 0.20000" in result.stdout
    assert "ridge.csv was handed in before, as submission 1000" in result.stderr
    assert [score.public for score in board_scores(board_of(root))] == [0.2]
    assert kaggle.called.count("CreateSubmission") == kaggle.called.count("PUT") == 1


def test_a_score_that_is_not_shown_is_said_to_be(root: Path, kaggle: Kaggle) -> None:
    kaggle.outcome = {"status": "COMPLETE"}
    assert "scored, but the competition does not show the score" in succeed(root, "submit", "ridge", "--upload")
    assert board_scores(board_of(root)) == []


def test_a_score_that_comes_late_is_waited_for(root: Path, kaggle: Kaggle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "PATIENCE_SECONDS", float("inf"))
    monkeypatch.setattr(upload, "SECONDS_BETWEEN_QUESTIONS", 0.0)
    kaggle.pending = 2
    assert "public 0.12345" in succeed(root, "submit", "ridge", "--upload")
    assert kaggle.called == ["ListSubmissions", *SUBMITTED, *["ListSubmissions"] * 3]


# refused before anything is sent ----------------------------------------------------------------------------


def test_the_sample_is_refused_before_anything_is_computed(root: Path, kaggle: Kaggle) -> None:
    record = root / "data" / "tiny" / "raw" / "provenance.json"
    record.write_text(record.read_text(encoding="utf-8").replace('"local"', '"sample"'), encoding="utf-8")
    shutil.rmtree(root / "submissions")
    line = refused(root)
    assert "--upload: these houses are the built-in sample's" in line
    assert "houseprice ingest -c tiny --source DIR" in line
    assert not (root / "submissions").exists()
    assert kaggle.calls == []


def test_an_entry_that_fails_the_gate_is_refused(root: Path, kaggle: Kaggle) -> None:
    """Changed by hand, and its manifest with it: the gate is what is left."""
    path = entry_of(root, "ridge")
    data = path.read_bytes().replace(b"\n1003,", b"\n1003,-")
    path.write_bytes(data)
    manifest = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    manifest["sha256"] = hashlib.sha256(data).hexdigest()
    path.with_suffix(".json").write_text(json.dumps(manifest), encoding="utf-8")
    assert "1 predictions are not finite numbers > 0 (ids 1003: -" in refused(root)
    assert kaggle.calls == []


def test_a_competition_that_is_not_named_is_asked_for(root: Path, kaggle: Kaggle) -> None:
    (root / "data" / "tiny" / "competition.toml").write_text(COMPETITION, encoding="utf-8")
    assert 'data/tiny/competition.toml names no competition: [ingest] kaggle = "NAME"' in refused(root)
    assert kaggle.calls == []


def test_without_the_client_it_is_said_how_to_install_it(
    root: Path, kaggle: Kaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert f"its client is not installed. Install it: {sys.executable} -m pip install kaggle six" in refused(root)
    assert kaggle.calls == []


def test_without_credentials_it_is_said_how_to_log_in(
    root: Path, kaggle: Kaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLE_KEY")
    line = refused(root)
    assert "kaggle: found no credentials" in line
    assert "`kaggle auth login`" in line
    assert kaggle.calls == []


def test_a_server_that_is_down_is_said_to_be(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    point_the_client_at(f"http://127.0.0.1:{port}", tmp_path / "home", monkeypatch)
    assert "offline? 127.0.0.1 cannot be reached: Connection refused" in refused(root)


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("import a_package_that_is_absent", "its client can't be imported: No module named 'a_package_that_is_absent'"),
        ("import os, sys; print('warned'); sys.stderr.write('last word'); os._exit(3)", "its client failed: last word"),
        ("import os; os._exit(3)", "its client failed: it ended with status 3"),
    ],
)
def test_a_client_that_is_broken_is_one_line(
    code: str, complaint: str, root: Path, kaggle: Kaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "kaggle.py").write_text(code, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'broken'}:{environment()['PYTHONPATH']}")
    assert f"kaggle: {complaint}" in refused(root)


def test_a_client_that_does_not_end_is_given_up(kaggle: Kaggle) -> None:
    with pytest.raises(NetworkError, match="kaggle: no answer to submissions within 0 s"):
        call_kaggle("submissions", "tiny-houses", timeout=0.001)


# refused by the competition ---------------------------------------------------------------------------------

ALLOWANCE = "Your team has used its daily Submission allowance (10) today, please try again tomorrow UTC (6.5 hours)."


@pytest.mark.parametrize(
    ("method", "status", "message", "words"),
    [
        ("ListSubmissions", 401, "Unauthorized", ("the credentials are not accepted", "`kaggle auth login`")),
        (
            "ListSubmissions",
            403,
            "Permission 'competitions.participate' was denied",
            ("participate' was denied", RULES),
        ),
        ("ListSubmissions", 404, "Not Found", ("Not Found", "no competition 'tiny-houses'", "[ingest].kaggle")),
        ("ListSubmissions", 503, "Service Unavailable", ("Service Unavailable", "Try again later")),
        ("StartSubmissionUpload", 403, "You must accept the competition's rules", ("accept the", RULES)),
        ("CreateSubmission", 400, ALLOWANCE, ("has used its daily Submission allowance", "from midnight UTC")),
        (
            "CreateSubmission",
            400,
            "Submission format\nis not\nsupported",
            ("kaggle: Submission format is not supported",),
        ),
        ("PUT", 403, "", ("the file could not be uploaded. Try again later",)),
    ],
)
def test_what_the_competition_refuses_is_one_line_with_the_way_out(
    method: str, status: int, message: str, words: tuple[str, ...], root: Path, kaggle: Kaggle
) -> None:
    kaggle.refusals[method] = status, message
    line = refused(root)
    for word in words:
        assert word in line
    assert kaggle.called[-1] == method
    assert kaggle.submissions == []


def test_success_is_not_believed_where_the_list_has_no_such_submission(root: Path, kaggle: Kaggle) -> None:
    """As the client had it where the day's submissions were used up (kaggle-cli#148)."""
    kaggle.submissions = [{"ref": 7, "date": "2026-01-01T00:00:00Z", "description": "another", "status": "COMPLETE"}]
    kaggle.loses = True
    line = refused(root)
    assert f"ridge.csv: the client reports no error, but the competition has no such submission: {SUBMISSIONS}" in line
    assert "used up" in line


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (None, "could not score it: it gives no reason. See " + SUBMISSIONS),
        ("Evaluation Exception:\nSubmission must have 418 rows.", "Exception: Submission must have 418 rows. See http"),
    ],
)
def test_a_submission_that_cannot_be_scored_says_why(
    reason: str | None, words: str, root: Path, kaggle: Kaggle
) -> None:
    kaggle.outcome = {"status": "ERROR", **({"errorDescription": reason} if reason else {})}
    assert words in refused(root)
    kaggle.outcome = {"status": "COMPLETE", "publicScore": "0.12345"}  # mended there: it is handed in again
    assert "submission 1001 to tiny-houses: public 0.12345" in succeed(root, "submit", "ridge", "--upload")


def test_nothing_of_the_client_is_left_in_the_project(root: Path, kaggle: Kaggle) -> None:
    before = {path for path in root.rglob("*") if ".db" not in path.name}
    succeed(root, "submit", "ridge", "--upload")
    assert {path for path in root.rglob("*") if ".db" not in path.name} == before
    assert open_plan(root).source == "local"
