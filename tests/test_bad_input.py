"""Bad input: each fault is refused by one message that names the file, the column or key, and the way out.

Nothing is lost or half written: after each refusal the competition's folder holds what it held before.
"""

import csv
import io
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_TOML, LoadTiny, contents, write_files

from houseprice.config import Folds, load_competition
from houseprice.data.features import build_features
from houseprice.data.folds import make_folds
from houseprice.data.ingest import ingest
from houseprice.data.tables import read_tables
from houseprice.errors import ConfigError, DataError, HousePriceError, StorageError
from houseprice.files import write_text

Files = dict[str, bytes]
Spoil = Callable[[Files], None]

TRAIN, TEST, SAMPLE = "train.csv", "test.csv", "sample_submission.csv"


# ------------------------------------------------------------------ ways to spoil good files


def put(name: str, data: bytes) -> Spoil:
    return lambda files: files.update({name: data})


def remove(name: str) -> Spoil:
    return lambda files: files.update({n: d for n, d in [*files.items()] if n != name}) or files.pop(name)  # type: ignore[func-returns-value,return-value]


def edit(name: str, change: Callable[[bytes], bytes]) -> Spoil:
    return lambda files: files.update({name: change(files[name])})


def lines(name: str, change: Callable[[list[bytes]], list[bytes]]) -> Spoil:
    return edit(name, lambda data: b"\n".join(change(data.splitlines())) + b"\n")


def cell(name: str, row_id: str, column: str, text: str) -> Spoil:
    def change(data: bytes) -> bytes:
        rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
        row = next(row for row in rows if row[0] == row_id)
        row[rows[0].index(column)] = text
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(rows)
        return out.getvalue().encode()

    return edit(name, change)


def without_column(name: str, column: str) -> Spoil:
    def change(data: bytes) -> bytes:
        rows = [line.split(b",") for line in data.splitlines()]
        drop = rows[0].index(column.encode())
        return b"".join(b",".join(row[:drop] + row[drop + 1 :]) + b"\n" for row in rows)

    return edit(name, change)


def with_column(name: str, column: str, text: str) -> Spoil:
    head, body = f",{column}".encode(), f",{text}".encode()
    return lines(name, lambda rows: [rows[0] + head, *(row + body for row in rows[1:])])


def header(name: str, old: bytes, new: bytes) -> Spoil:
    return lines(name, lambda rows: [rows[0].replace(old, new), *rows[1:]])


def each(*spoils: Spoil) -> Spoil:
    def spoil(files: Files) -> None:
        for one in spoils:
            one(files)

    return spoil


FAULTS: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    # what is wrong: how to bring it about, what the message says
    "train missing": (remove(TRAIN), ("train.csv", "no such file", "--source")),
    "test missing": (remove(TEST), ("test.csv", "no such file", "--source")),
    "train empty": (put(TRAIN, b""), ("train.csv", "empty", "Put the competition's file")),
    "test blank": (put(TEST, b" \n\n \n"), ("test.csv", "empty", "Put the competition's file")),
    "sample empty": (put(SAMPLE, b""), ("sample_submission.csv", "empty")),
    "a byte order mark alone": (put(TRAIN, b"\xef\xbb\xbf"), ("train.csv", "empty")),
    "header only": (lines(TRAIN, lambda rows: rows[:1]), ("train.csv", "no rows", "whole file")),
    "binary": (put(TRAIN, b"PK\x03\x04\x14\0\0\0\x08\0train.csv"), ("train.csv", "binary", "Unpack")),
    "UTF-16": (edit(TEST, lambda data: data.decode().encode("utf-16")), ("test.csv", "UTF-16", "save it as CSV")),
    "latin-1": (cell(TRAIN, "002", "Street", "Straße"), ()),  # completed by `latin_1` below
    "row too long": (
        lines(TRAIN, lambda rows: [*rows[:3], rows[3] + b",1", *rows[4:]]),
        ("train.csv", "line 4", "7 cells", "header has 6", "Quote cells"),
    ),
    "row too short": (
        lines(TEST, lambda rows: [*rows[:3], b"103,5", *rows[4:]]),
        ("test.csv", "line 4", "2 cells", "header has 5", "complete or delete"),
    ),
    "duplicate header": (header(TRAIN, b"Rooms", b"Area"), ("train.csv", "twice", "Area", "Rename")),
    "nameless column": (header(TEST, b"Rooms", b""), ("test.csv", "without a name", "number 3", "Name them")),
    "duplicate id": (cell(TRAIN, "003", "Id", "002"), ("train.csv", "'Id'", "more than once: 002", "Keep one row")),
    "duplicate test id": (cell(TEST, "103", "Id", "102"), ("test.csv", "'Id'", "more than once: 102")),
    "no id column": (header(TRAIN, b"Id", b"ID"), ("train.csv", "no id column 'Id'", "ID")),
    "no id column in test": (without_column(TEST, "Id"), ("test.csv", "no id column 'Id'")),
    "id empty": (cell(TRAIN, "003", "Id", ""), ("train.csv", "'Id' is empty in rows 3", "Give each row an id")),
    "id blank": (cell(TEST, "103", "Id", "  "), ("test.csv", "'Id' is empty in rows 3")),
    "semicolons": (
        edit(TRAIN, lambda data: data.replace(b",", b";")),
        ("train.csv", "no id column 'Id'", "separator seems to be ';'", "save with commas"),
    ),
    "semicolons and decimal commas": (
        edit(TEST, lambda data: data.replace(b",", b";").replace(b";2;", b";2,5;")),
        ("test.csv", "separator seems to be ';'", "save with commas"),
    ),
    "unclosed quote": (
        cell(TRAIN, "003", "Street", "@"),
        (),
    ),  # completed by `unclosed_quote` below
    "text behind a quote": (
        lines(TEST, lambda rows: [*rows[:2], b'102,1,2,"Pave"d,NA', *rows[3:]]),
        ("test.csv", "line 3", "Mend the quotes"),
    ),
    "endless field": (
        cell(TRAIN, "003", "Street", "x" * 200_000),
        ("train.csv", "line 4", "field larger than field limit", "Mend the quotes"),
    ),
    "no target": (header(TRAIN, b"Price", b"Prize"), ("train.csv", "no target column 'Price'", "'Prize'")),
    "target in test": (with_column(TEST, "Price", "1"), ("test.csv", "target column 'Price'", "Delete the column")),
    "column missing in test": (without_column(TEST, "Rooms"), ("test.csv", "lacks", "Rooms", "Add them")),
    "text in test": (
        cell(TEST, "103", "Rooms", "two"),
        ("test.csv", "'Rooms' is a number in train.csv", "'two'", "ids 103", "[ingest].missing"),
    ),
    "infinite in train": (cell(TRAIN, "003", "Area", "inf"), ("train.csv", "'Area'", "infinite", "003", "Correct")),
    "infinite in test": (cell(TEST, "103", "Area", "1e999"), ("test.csv", "'Area'", "infinite", "103", "empty the")),
    "sample with other ids": (
        cell(SAMPLE, "103", "Id", "999"),
        ("sample_submission.csv", "1 lacking (103)", "1 unknown (999)", "Take the sample submission"),
    ),
    "sample with fewer ids": (lines(SAMPLE, lambda rows: rows[:-1]), ("sample_submission.csv", "1 lacking (108)")),
    "sample without target": (header(SAMPLE, b"Price", b"Cost"), ("sample_submission.csv", "'Price'", "Take the")),
    "one training row": (lines(TRAIN, lambda rows: rows[:2]), ("train.csv", "1 training row", "at least 2", "Add rows")),
    "no features": (
        each(*(without_column(name, c) for name in (TRAIN, TEST) for c in ("Area", "Rooms", "Street", "Pool"))),
        ("train.csv", "no feature columns", "Id", "Price", "Add some"),
    ),
    "nothing but constants": (
        each(
            *(without_column(name, c) for name in (TRAIN, TEST) for c in ("Area", "Rooms", "Street", "Pool")),
            *(with_column(name, "Country", "here") for name in (TRAIN, TEST)),
        ),
        ("train.csv", "empty or constant", "Add columns"),
    ),
} | {
    f"target {text!r}": (
        cell(TRAIN, "003", "Price", text),
        ("train.csv", "column 'Price'", "1 of 24 targets", "log_rmse", f"(ids 003: {shown})", "exclude_ids"),
    )
    for text, shown in [("cheap", "cheap"), ("", "nan"), ("NA", "nan"), ("inf", "inf"), ("0", "0"), ("-5", "-5")]
    + [("True", "True"), ("1,000", "1,000")]
}


def latin_1(files: Files) -> None:
    cell(TRAIN, "002", "Street", "Straße")(files)
    files[TRAIN] = files[TRAIN].decode().encode("latin-1")


def unclosed_quote(files: Files) -> None:
    cell(TRAIN, "003", "Street", "@")(files)
    files[TRAIN] = files[TRAIN].replace(b"@", b'"Pave')


FAULTS["latin-1"] = (latin_1, ("train.csv", "line 3", "not UTF-8", "0xdf", "iconv -f latin1"))
FAULTS["unclosed quote"] = (unclosed_quote, ("train.csv", "line 4", "Mend the quotes of that line"))
