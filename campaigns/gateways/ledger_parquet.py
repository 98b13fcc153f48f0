"""Months of the ledger as Parquet files, to be read by whatever reads Parquet.

A file is written under a name of its own and gets its last one when it is known to be right: who finds a file by its
name finds all of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from campaigns.models.archive import DaySum, LedgerRow

ROW_GROUP = 65_536
"""Rows that are in memory at a time, when writing and when reading."""

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("brand_id", pa.int64(), nullable=False),
        pa.field("campaign_id", pa.int64(), nullable=False),
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("kind", pa.int8(), nullable=False),
        pa.field("amount_micros", pa.int64(), nullable=False),
        pa.field("timestamp", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("day", pa.date32(), nullable=False),
        pa.field("recorded_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("note", pa.string(), nullable=False),
    ]
)
"""The columns of the ledger. kind: 1 spend, 2 adjustment. amount_micros: millionths of the brand's currency."""


class Written(NamedTuple):
    """A file that was written: where it is for now, its digest, how many rows, and which ids these have."""

    path: Path
    sha256: str
    rows: int
    first_id: int | None
    last_id: int | None


def name_of(month: date) -> str:
    """Return the name of the file of a month."""
    return f"ledger-{month:%Y-%m}.parquet"


@contextlib.contextmanager
def writing(folder: Path, month: date) -> Iterator[Path]:
    """Give a path to write a month to; what is still there at the end, since it was not kept, is deleted."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".{name_of(month)}.{uuid.uuid4().hex}.part"  # in a container every process is number 1
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def write(path: Path, month: date, rows: Iterable[LedgerRow], currencies: Mapping[int, str]) -> Written:
    """Write rows as they come, down to the disk. currencies: of each brand, for the sums in the file's metadata."""
    number, first, last = 0, None, None
    sums: dict[int, int] = {}
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", write_page_checksum=True) as writer:
        for group in _groups(rows):
            columns = zip(*group, strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA), row_group_size=ROW_GROUP)
            number += len(group)
            ids = [row.id for row in group]
            first, last = min(ids if first is None else [*ids, first]), max(ids if last is None else [*ids, last])
            for row in group:
                sums[row.brand_id] = sums.get(row.brand_id, 0) + row.micros
        writer.add_key_value_metadata(_metadata(month, number, sums, currencies))
    _sync(path)
    return Written(path, digest(path), number, first, last)


def keep(path: Path, folder: Path, month: date) -> None:
    """Give a file its name, so that it is there after a power cut, too. It replaces what had that name."""
    path.replace(folder / name_of(month))
    _sync(folder)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sums(path: Path) -> Iterator[DaySum]:
    """Yield what a file's rows add up to by brand, campaign and day, which it is sorted by; checksums are checked."""
    columns = ["brand_id", "campaign_id", "day", "amount_micros"]
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        batches = file.iter_batches(batch_size=ROW_GROUP, columns=columns)
        rows = itertools.chain.from_iterable(
            zip(*(column.to_pylist() for column in batch.columns), strict=True) for batch in batches
        )
        for (brand_id, campaign_id, day), of_day in itertools.groupby(rows, key=lambda row: row[:3]):
            micros = number = 0
            for *_, amount in of_day:
                micros, number = micros + amount, number + 1
            yield DaySum(brand_id, campaign_id, day, micros, number)


def alike(one: Path, other: Path) -> bool:
    """Return whether two files add up to the same, day by day; one that is no such file is like no other."""
    with contextlib.suppress(OSError, ValueError, pa.ArrowException):
        return all(of_one == of_other for of_one, of_other in itertools.zip_longest(sums(one), sums(other)))
    return False


def _groups(rows: Iterable[LedgerRow]) -> Iterator[list[LedgerRow]]:
    remaining = iter(rows)
    while group := list(itertools.islice(remaining, ROW_GROUP)):
        yield group


def _metadata(month: date, rows: int, sums: Mapping[int, int], currencies: Mapping[int, str]) -> dict[str, str]:
    by_currency: dict[str, int] = {}
    for brand_id, micros in sums.items():
        currency = currencies.get(brand_id, "")
        by_currency[currency] = by_currency.get(currency, 0) + micros
    return {
        "ledger.month": f"{month:%Y-%m}",
        "ledger.rows": str(rows),
        "ledger.sum_micros": json.dumps(dict(sorted(by_currency.items()))),
    }


def _sync(path: Path) -> None:
    """Let the disk have what was written, of a file or of the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
