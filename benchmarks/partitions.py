"""Whether to split the ledger by month: `python -m benchmarks.partitions [--small] [--rows 20000000]`, PostgreSQL only.

An event id counts once within its brand, whatever month it comes again in, and a unique key of a partitioned table has
to name what it is partitioned by. So three layouts are filled with the same rows and take turns with batches of 1,000:

flat: the ledger as it is, one table and one unique key.
months: a partition for each month of recording, each with its own key. A batch goes into the current one, behind an
  advisory lock that a change of month would take, and its ids are looked for in the older ones.
months and keys: the same partitions without that key, and a table of nothing but the keys.

Then the oldest month leaves each of them, and what that costs is measured, too.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks import databases
from benchmarks.scale import indexes_later

ROWS, SMALL_ROWS = 20_000_000, 7_000
BATCH = 1_000
ROUNDS, SMALL_ROUNDS = 400, 3
"""Batches that each layout takes in; the first after a checkpoint, which makes them dear, are told apart."""

REMOVED_AT_ONCE = 10_000
CAMPAIGNS, CAMPAIGNS_PER_BRAND, CAMPAIGNS_OF_BATCH = 10_000, 50, 200
STARTS = tuple(datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3, 4, 5))
"""Where months begin: three whole ones, and the current one, of which half is over."""

OLDER = tuple(range(len(STARTS) - 2))
CURRENT = len(OLDER)
_TYPES = ("int8", "varchar", "int8", "int2", "int8", "timestamptz", "date", "varchar", "timestamptz")
_COLUMNS = "brand_id, event_id, campaign_id, kind, amount, timestamp, day, note, recorded_at"


class Layout(NamedTuple):
    """A way to keep the ledger: its tables, and how a batch goes in."""

    name: str
    tables: tuple[str, ...]
    write: Callable[[Any, Sequence[tuple[Any, ...]]], None]
    remove_month: Callable[[], None]


class Cost(NamedTuple):
    """What something took: seconds, and bytes of write-ahead log."""

    seconds: float
    wal: int


def main(arguments: list[str]) -> int:
    """Fill the layouts, measure, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", action="store_true", help="a few rows, to see that it runs")
    parser.add_argument("--rows", type=int, help=f"how many rows each layout begins with; {ROWS:,} unless given")
    options = parser.parse_args(arguments)
    with databases.fresh("postgresql"):
        rows = options.rows or (SMALL_ROWS if options.small else ROWS)
        fill(rows)
        recording(rows, SMALL_ROUNDS if options.small else ROUNDS)
        removing(rows)
    return 0


# --- The layouts ------------------------------------------------------------------------------


def fill(rows: int) -> None:
    """Fill the ledger with random ids, evenly over three months and a half; copy it to the other layouts."""
    bounds = ", ".join(f"timestamptz '{start}'" for start in STARTS)
    share = f"i::bigint * {2 * len(OLDER) + 1} / {rows}"  # halves of months, the last of which has no second
    moment = f"(ARRAY[{bounds}])[1 + ({share})::int / 2] + interval '15 days' * (({share}) % 2 + random() * 0.9)"
    campaign = f"1 + (random() * {CAMPAIGNS - 1})::int"
    with indexes_later("campaigns_spendlog"):
        _do(f"""
            INSERT INTO campaigns_spendlog ({_COLUMNS})
            SELECT 1 + campaign / {CAMPAIGNS_PER_BRAND}, gen_random_uuid()::text, campaign, 1, 1000, moment,
                moment::date, '', moment
            FROM (SELECT {campaign} AS campaign, {moment} AS moment FROM generate_series(0, {rows - 1}) AS n(i)) made
        """)
    for name in ("months", "keyed"):
        _do(f"CREATE TABLE {name} (LIKE campaigns_spendlog INCLUDING IDENTITY INCLUDING CONSTRAINTS) "
            "PARTITION BY RANGE (recorded_at)")  # fmt: skip
        for at, (first, last) in enumerate(itertools.pairwise(STARTS)):
            _do(f"CREATE TABLE {name}_{at} PARTITION OF {name} FOR VALUES FROM ('{first}') TO ('{last}')")
        _do(f"INSERT INTO {name} SELECT * FROM campaigns_spendlog")
        _do(f"ALTER TABLE {name} ALTER id RESTART WITH {rows + 1}")
        for at in range(len(STARTS) - 1):
            _do(f"ALTER TABLE {name}_{at} ADD PRIMARY KEY (id)")
            _do(f"CREATE INDEX ON {name}_{at} (campaign_id, day)")
            if name == "months":
                _do(f"ALTER TABLE {name}_{at} ADD UNIQUE (brand_id, event_id)")
    _do("CREATE TABLE keys (brand_id bigint NOT NULL, event_id varchar(128) NOT NULL)")
    _do("INSERT INTO keys SELECT brand_id, event_id FROM campaigns_spendlog")
    _do("ALTER TABLE keys ADD PRIMARY KEY (brand_id, event_id)")
    _do("VACUUM ANALYZE")


def _flat(cursor: Any, rows: Sequence[tuple[Any, ...]]) -> None:
    _copy(cursor, f"campaigns_spendlog ({_COLUMNS})", _TYPES, rows)


def _months(cursor: Any, rows: Sequence[tuple[Any, ...]]) -> None:
    cursor.execute("SELECT pg_advisory_xact_lock_shared(1)")
    _copy(cursor, f"months_{CURRENT} ({_COLUMNS})", _TYPES, rows)
    keys = [[row[0] for row in rows], [row[1] for row in rows]]
    older = " UNION ALL ".join(
        f"SELECT l.id FROM rows JOIN months_{at} l ON l.brand_id = rows.brand_id AND l.event_id = rows.event_id"
        for at in OLDER
    )
    sql = f"WITH rows AS (SELECT * FROM unnest(%s::bigint[], %s::varchar[]) AS r(brand_id, event_id)) {older}"
    cursor.execute(sql, keys)
    assert cursor.fetchall() == []


def _keyed(cursor: Any, rows: Sequence[tuple[Any, ...]]) -> None:
    cursor.execute("SELECT pg_advisory_xact_lock_shared(1)")
    _copy(cursor, "keys (brand_id, event_id)", _TYPES[:2], [row[:2] for row in rows])
    _copy(cursor, f"keyed_{CURRENT} ({_COLUMNS})", _TYPES, rows)


def _copy(cursor: Any, into: str, types: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    with cursor.copy(f"COPY {into} FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def _remove_rows() -> None:
    """The oldest month by bounded deletes, behind the trigger's back as the archive is by its leave."""
    from django.db import connection

    from campaigns.models import append_only

    with append_only.suspended(connection):
        _in_batches("DELETE FROM campaigns_spendlog WHERE id > {after} AND id <= {last} AND recorded_at < '{until}'")
    _do("VACUUM campaigns_spendlog")


def _drop_partition() -> None:
    _do("ALTER TABLE months DETACH PARTITION months_0")
    _do("DROP TABLE months_0")


def _drop_partition_and_keys() -> None:
    _in_batches("DELETE FROM keys USING keyed_0 l WHERE l.id > {after} AND l.id <= {last} "
                "AND keys.brand_id = l.brand_id AND keys.event_id = l.event_id")  # fmt: skip
    _do("ALTER TABLE keyed DETACH PARTITION keyed_0")
    _do("DROP TABLE keyed_0")
    _do("VACUUM keys")


def _in_batches(sql: str) -> None:
    last = _one("SELECT max(id) FROM keyed_0")
    for after in range(0, last, REMOVED_AT_ONCE):
        _do(sql.format(after=after, last=min(after + REMOVED_AT_ONCE, last), until=STARTS[1]))


LAYOUTS = (
    Layout("flat", ("campaigns_spendlog",), _flat, _remove_rows),
    Layout("months", tuple(f"months_{at}" for at in range(CURRENT + 1)), _months, _drop_partition),
    Layout(
        "months and keys",
        ("keys", *(f"keyed_{at}" for at in range(CURRENT + 1))),
        _keyed,
        _drop_partition_and_keys,
    ),
)


# --- Measuring --------------------------------------------------------------------------------


def recording(rows: int, rounds: int) -> None:
    """Let the layouts take turns and print what a batch costs each of them, early after a checkpoint and later."""
    chance = random.Random(1)
    _do("CHECKPOINT")
    costs: dict[str, list[Cost]] = {layout.name: [] for layout in LAYOUTS}
    for number in range(rounds):
        for layout in LAYOUTS[number % 3 :] + LAYOUTS[: number % 3]:
            costs[layout.name].append(_cost(partial(_write, layout, _rows(chance))))
    title = f"Recording in batches of {BATCH:,}, {rows:,} rows to begin with"
    table = _table(
        title, "layout", "events/s, first", "events/s, last", "of flat", "WAL an event", "indexes", "of an event id"
    )
    quarter = -(-rounds // 4)
    flat = statistics.median(cost.seconds for cost in costs["flat"][-quarter:])
    for layout in LAYOUTS:
        first, last = (
            statistics.median(cost.seconds for cost in some)
            for some in (costs[layout.name][:quarter], costs[layout.name][-quarter:])
        )
        table.add_row(
            layout.name,
            f"{BATCH / first:,.0f}",
            f"{BATCH / last:,.0f}",
            f"{flat / last:.2f}",
            f"{statistics.mean(cost.wal for cost in costs[layout.name][-quarter:]) / BATCH:,.0f} B",
            _megabytes(sum(_one(f"SELECT pg_indexes_size('{table}')") for table in layout.tables)),
            _megabytes(sum(map(_id_index_size, layout.tables))),
        )
    Console(width=140).print(table)


def removing(rows: int) -> None:
    """Remove the oldest month from each layout and print what that costs."""
    leaving = _one("SELECT count(*) FROM months_0")
    table = _table(
        f"The oldest month leaves: {leaving:,} of {rows:,} rows", "layout", "time", "WAL", "WAL a row", "indexes after"
    )
    for layout in LAYOUTS:
        cost = _cost(layout.remove_month)
        left = [table for table in layout.tables if _one(f"SELECT count(to_regclass('{table}'))")]
        table.add_row(
            layout.name,
            f"{cost.seconds:,.2f} s",
            _megabytes(cost.wal),
            f"{cost.wal / leaving:,.0f} B",
            _megabytes(sum(_one(f"SELECT pg_indexes_size('{table}')") for table in left)),
        )
    Console(width=140).print(table)


def _rows(chance: random.Random) -> list[tuple[Any, ...]]:
    """A batch of today, with random ids, over some campaigns."""
    now = STARTS[CURRENT] + timedelta(days=15)
    some = [chance.randrange(1, CAMPAIGNS + 1) for _ in range(CAMPAIGNS_OF_BATCH)]
    chosen = [some[chance.randrange(CAMPAIGNS_OF_BATCH)] for _ in range(BATCH)]
    ids = [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in chosen]
    rows = [
        (1 + campaign // CAMPAIGNS_PER_BRAND, event_id, campaign, 1, 1_000, now, now.date(), "", now)
        for campaign, event_id in zip(chosen, ids, strict=True)
    ]
    return sorted(rows, key=lambda row: row[:2])


def _write(layout: Layout, rows: Sequence[tuple[Any, ...]]) -> None:
    from django.db import connection, transaction

    with transaction.atomic(), connection.cursor() as cursor:
        layout.write(cursor, rows)


def _cost(work: Callable[[], object]) -> Cost:
    before, began = _one("SELECT pg_current_wal_insert_lsn()"), time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    return Cost(seconds, int(_one(f"SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '{before}')")))


def _id_index_size(table: str) -> int:
    """Bytes of the index that finds an event id."""
    size: int = _one(f"""
        SELECT COALESCE(sum(pg_relation_size(indexrelid)), 0)::bigint FROM pg_index
        WHERE indrelid = '{table}'::regclass AND pg_get_indexdef(indexrelid) LIKE '%%event_id%%'
    """)
    return size


def _table(title: str, *names: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name, justify="left" if name == "layout" else "right")
    return table


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


def _do(sql: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql)


def _one(sql: str) -> Any:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql, [])
        row = cursor.fetchone()
        assert row is not None
        return row[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
