"""The laws that the source itself must keep: who writes what, who reads the clock, and no money in floats.

Each guard reads the syntax trees of the application. Each is first tried on snippets that break its law, so that a
guard that has gone blind is seen.
"""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
APPLICATION = ROOT / "campaigns"
MIGRATIONS = "campaigns/migrations/"

Guard = Callable[[str, ast.Module], Iterator[ast.AST]]
"""Takes a module's path and tree; gives the places that break its law."""


def modules() -> list[str]:
    """Every module of the application but its migrations, as paths from the root."""
    paths = (str(path.relative_to(ROOT).as_posix()) for path in APPLICATION.rglob("*.py"))
    return sorted(path for path in paths if not path.startswith(MIGRATIONS))


# --- Reading syntax trees --------------------------------------------------------------------

CHANGING = {
    "update", "delete", "save", "create", "bulk_create", "bulk_update", "get_or_create", "update_or_create",
    "_raw_delete", "aupdate", "adelete", "asave", "acreate", "abulk_create", "abulk_update", "aget_or_create",
    "aupdate_or_create",
}  # fmt: skip
"""The ORM's methods that write."""


@cache
def calls(tree: ast.Module) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def called(call: ast.Call) -> str:
    """The last name of what is called: `update` of `Campaign.objects.filter(...).update`."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def chain(node: ast.AST) -> list[str]:
    """The names that an expression goes through: Campaign, objects, filter, update."""
    names: list[str] = []
    while True:
        match node:
            case ast.Call(func=inner) | ast.Subscript(value=inner) | ast.Await(value=inner):
                node = inner
            case ast.Attribute(value=inner, attr=name):
                names.append(name)
                node = inner
            case ast.Name(id=name):
                return [*names, name][::-1]
            case _:
                return names[::-1]


@cache
def texts(tree: ast.Module) -> list[tuple[ast.AST, str]]:
    """Every text of a module that is not documentation, with what is put into it left out."""
    found: list[tuple[ast.AST, str]] = []
    documentation = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts_of = (str(part.value) if isinstance(part, ast.Constant) else " ? " for part in node.values)
            found.append((node, "".join(parts_of)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation | parts:
            found.append((node, node.value))
    return found


def sql(pattern: str, tree: ast.Module) -> Iterator[ast.AST]:
    """The texts in which a pattern occurs, whatever the white space and the case."""
    wanted = re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE)
    return (node for node, text in texts(tree) if wanted.search(text))


def writes_to(tree: ast.Module, tables: set[str], models: set[str]) -> Iterator[ast.AST]:
    """The places that write rows of some tables, by SQL, by the ORM or by a relation named like one of the models."""
    names = "|".join(sorted(tables))
    verbs = r"insert( or \w+)? into|replace into|update( only)?|delete from|truncate( table)?|copy"
    yield from sql(rf'\b({verbs}) "?({names})\b', tree)
    for call in calls(tree):
        if called(call) in CHANGING and models & set(chain(call.func)[:-1]):
            yield call


# --- Laws 1 and 2: money and the ledger ------------------------------------------------------


def money_is_no_float(path: str, tree: ast.Module) -> Iterator[ast.AST]:
    seconds = {id(node) for where, node in within(tree) if (path, where) in SECONDS}
    for call in calls(tree):
        floats = called(call) in {"float", "FloatField", "DecimalField", "from_float", "fsum"}
        if floats and path not in FORMS and id(call) not in seconds:
            yield call
    yield from sql(r"(::\s*|\bas )(real|float\d?|double precision)\b", tree)


FORMS = {"campaigns/models/fields.py"}
"""Where Django's DecimalField is that of a form, which goes through text."""

SECONDS = {("campaigns/management/commands/report_demo_spend.py", "_seconds")}
"""Where a float is a time."""

LEDGER = {"campaigns_spendlog", "campaigns_statuschange"}

ARCHIVE = ("campaigns/services/archive.py", "_remove_some")
"""Where rows of the ledger are deleted whose month a file holds; the database refuses to delete any others."""


def the_ledger_is_append_only(path: str, tree: ast.Module) -> Iterator[ast.AST]:
    names = "|".join(sorted(LEDGER))
    verbs = r"update( only)?|delete from|truncate( table)?|replace into|insert or \w+ into"
    archive = {id(node) for where, node in within(tree) if (path, where) == ARCHIVE}
    yield from (node for node in sql(rf'\b({verbs}) "?({names})\b', tree) if id(node) not in archive)
    yield from sql(rf"(?s)insert into ({names})\b.* do update", tree)
    owners = {"SpendLog", "StatusChange", "spend_logs", "status_changes"}
    for call in calls(tree):
        creating = called(call) in {"create", "bulk_create", "acreate", "abulk_create"}
        over = any(keyword.arg == "update_conflicts" for keyword in call.keywords)
        if called(call) in CHANGING and owners & set(chain(call.func)[:-1]) and (over or not creating):
            yield call
    if path != "campaigns/models/append_only.py":
        yield from sql(r"\b(drop|alter|disable) trigger\b", tree)
        yield from sql(r"session_replication_role", tree)
        yield from (call for call in calls(tree) if "suspended" in chain(call.func))


# --- Laws 3 and 5: counters ------------------------------------------------------------------


def one_module_writes_counters(path: str, tree: ast.Module) -> Iterator[ast.AST]:
    if path == "campaigns/services/counters.py":
        return
    owners = {"BrandCounter", "CampaignCounter", "counters"}
    yield from writes_to(tree, {"campaigns_brandcounter", "campaigns_campaigncounter"}, owners)
    yield from (call for call in calls(tree) if called(call) in {"BrandCounter", "CampaignCounter"})
    yield from written(tree, {"spent", "held"})


# --- Laws 6 and 7: status and a person's pause -----------------------------------------------

STATUS = {"is_active", "reasons", "status_changed_at"}
NEW_OR_CHANGED = {*CHANGING, "Campaign", "setattr", "dict"}


def assigned(tree: ast.Module, names: set[str]) -> Iterator[ast.AST]:
    """The places that assign to an attribute of one of some names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del) and node.attr in names:
            yield node


def written(tree: ast.Module, names: set[str]) -> Iterator[ast.AST]:
    """The places that write columns of one of some names, by attribute, by keyword or by name."""
    yield from assigned(tree, names)
    for call in calls(tree):
        if called(call) not in NEW_OR_CHANGED:
            continue
        inside = [node for part in [*call.args, *call.keywords] for node in ast.walk(part)]
        by_keyword = any(keyword.arg in names for keyword in call.keywords)
        by_name = any(isinstance(node, ast.Constant) and node.value in names for node in inside)
        if by_keyword or by_name:
            yield call
    columns = "|".join(sorted(names))
    yield from sql(rf"\b(set|,) ({columns}) = ", tree)


SETS_MANY = "campaigns/services/bulk.py"
"""Where one statement writes what people set on many campaigns. It names its columns, and so no status."""


def one_module_writes_status(path: str, tree: ast.Module) -> Iterator[ast.AST]:
    if path == "campaigns/services/status.py":
        return
    yield from written(tree, STATUS)
    if path != SETS_MANY:
        yield from sql(r'\b(update( only)?|insert into|replace into|copy) "?campaigns_campaign\b', tree)
    yield from sql(r'\b(insert into|copy) "?campaigns_statuschange\b', tree)
    for call in calls(tree):
        made = called(call) in {"create", "bulk_create"} and "StatusChange" in chain(call.func)
        if made or called(call) == "StatusChange":
            yield call


def only_people_pause_by_hand(path: str, tree: ast.Module) -> Iterator[ast.AST]:
    if path != "campaigns/services/bulk.py":
        yield from written(tree, {"paused_manually"})


# --- Law 9: the clock ------------------------------------------------------------------------

INNER = tuple(f"campaigns/{floor}/" for floor in ("rules", "models", "services", "queries", "gateways"))
DOORS = {
    # Properties are doors of their own: templates, lists and the shell have no `now` to give them.
    ("campaigns/models/catalog.py", "Brand._current_spend"),
    ("campaigns/models/catalog.py", "Campaign._current_spend"),
}
CLOCKS = {
    "datetime.datetime.now", "datetime.datetime.today", "datetime.datetime.utcnow", "datetime.date.today",
    "time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime",
    "django.utils.timezone.now", "django.utils.timezone.localtime", "django.utils.timezone.localdate",
    "django.db.models.functions.Now", "django.db.models.functions.datetime.Now",
}  # fmt: skip


def the_clock_is_read_at_the_door(path: str, tree: ast.Module) -> Iterator[ast.AST]:
    if not path.startswith(INNER):
        return
    names = imported(tree)
    allowed = {id(node) for where, node in within(tree) if (path, where) in DOORS}
    if path.startswith("campaigns/models/"):  # a default is only for rows that a test or a shell creates
        defaults = (k.value for call in calls(tree) for k in call.keywords if k.arg == "default")
        allowed |= {id(node) for default in defaults for node in ast.walk(default)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and dotted(node, names) in CLOCKS and id(node) not in allowed:
            yield node
        if isinstance(node, ast.keyword) and node.arg in {"auto_now", "auto_now_add"}:
            yield node.value
    yield from sql(r"\bnow\(\)|\b(current_(timestamp|date|time)|localtime(stamp)?|clock_timestamp)\b|'now'", tree)


def now_has_no_default(path: str, tree: ast.Module) -> Iterator[ast.AST]:
    """A `now` that may be left out is one that somebody else reads."""
    if not path.startswith(INNER):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.arguments):
            positional = [*node.posonlyargs, *node.args]
            with_defaults = positional[len(positional) - len(node.defaults) :]
            pairs = zip(node.kwonlyargs, node.kw_defaults, strict=True)
            with_defaults += [argument for argument, default in pairs if default is not None]
            yield from (argument for argument in with_defaults if argument.arg == "now")


def imported(tree: ast.Module) -> dict[str, str]:
    """What the names of a module stand for: `clock` for `django.utils.timezone`."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                names[alias.asname or first] = alias.name if alias.asname else first
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def dotted(node: ast.AST, names: dict[str, str]) -> str:
    """The full name of an expression, such as `django.utils.timezone.now`; empty where it has none."""
    if isinstance(node, ast.Name):
        return names.get(node.id, "")
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value, names)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def within(tree: ast.AST, where: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Every node with the class and function that it stands in, such as `Brand._current_spend`."""
    for child in ast.iter_child_nodes(tree):
        inside = where
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inside = f"{where}.{child.name}".lstrip(".")
        yield inside, child
        yield from within(child, inside)


# --- The application keeps them --------------------------------------------------------------

GUARDS: list[Guard] = [
    money_is_no_float,
    the_ledger_is_append_only,
    one_module_writes_counters,
    one_module_writes_status,
    only_people_pause_by_hand,
    the_clock_is_read_at_the_door,
    now_has_no_default,
]


parse = cache(ast.parse)


def breaches(guard: Guard, path: str, source: str) -> list[str]:
    found = guard(path, parse(source))
    return sorted({f"{path}:{getattr(node, 'lineno', 0)}: {ast.unparse(node)[:100]}" for node in found})


@pytest.mark.parametrize("guard", GUARDS)
def test_the_application_keeps_the_law(guard: Guard) -> None:
    found = [breach for path in modules() for breach in breaches(guard, path, (ROOT / path).read_text())]
    assert found == []


def test_the_guards_look_at_every_floor() -> None:
    floors = {path.split("/")[1] for path in modules()}
    assert {"rules", "models", "gateways", "services", "queries", "management", "tasks.py"} <= floors


def test_what_is_exempt_is_there() -> None:
    """A writer that has moved must not leave its exemption behind."""
    for path, guard in [
        ("campaigns/services/status.py", one_module_writes_status),
        ("campaigns/services/counters.py", one_module_writes_counters),
        ("campaigns/services/bulk.py", only_people_pause_by_hand),
    ]:
        assert breaches(guard, "campaigns/elsewhere.py", (ROOT / path).read_text()), path
    where = {(path, place) for path in modules() for place, _ in within(ast.parse((ROOT / path).read_text()))}
    assert where >= DOORS | SECONDS | {ARCHIVE}


# --- The guards can fail ---------------------------------------------------------------------

SERVICE = "campaigns/services/new.py"
IN_A_MODEL = "from django.utils import timezone as clock\nclass Brand:\n  def other(self): return clock.now()"
AS_A_DEFAULT = "from django.utils import timezone\nat = DateTimeField(default=timezone.now)"
BROKEN: list[tuple[Guard, str, str]] = [
    (money_is_no_float, SERVICE, "x = float(amount)"),
    (money_is_no_float, SERVICE, "x = math.fsum(amounts)"),
    (money_is_no_float, SERVICE, "x = Decimal.from_float(y)"),
    (money_is_no_float, "campaigns/models/new.py", "amount = models.DecimalField(max_digits=9)"),
    (money_is_no_float, "campaigns/models/new.py", "amount = models.FloatField()"),
    (money_is_no_float, SERVICE, "cursor.execute('SELECT spent::double precision FROM t')"),
    (money_is_no_float, SERVICE, "cursor.execute(f'SELECT CAST(spent AS REAL) FROM {t}')"),
    (the_ledger_is_append_only, SERVICE, "SpendLog.objects.filter(pk=1).update(amount=1)"),
    (the_ledger_is_append_only, SERVICE, "models.SpendLog.objects.all().delete()"),
    (the_ledger_is_append_only, SERVICE, "campaign.spend_logs.filter(day=day).delete()"),
    (the_ledger_is_append_only, SERVICE, "StatusChange.objects.bulk_update(rows, ['note'])"),
    (the_ledger_is_append_only, SERVICE, "SpendLog.objects.bulk_create(rows, update_conflicts=True)"),
    (the_ledger_is_append_only, SERVICE, "SpendLog.objects.get(pk=1).delete()"),
    (the_ledger_is_append_only, SERVICE, "c.execute('delete\\n  from campaigns_spendlog')"),
    (the_ledger_is_append_only, SERVICE, "c.execute(f'UPDATE campaigns_statuschange SET note = {x}')"),
    (the_ledger_is_append_only, SERVICE, "c.execute('TRUNCATE TABLE campaigns_spendlog')"),
    (the_ledger_is_append_only, SERVICE, "c.execute('INSERT INTO campaigns_spendlog ... DO UPDATE SET x = 1')"),
    (the_ledger_is_append_only, SERVICE, "with append_only.suspended(connection): pass"),
    (the_ledger_is_append_only, SERVICE, "c.execute('DROP TRIGGER t')"),
    (one_module_writes_counters, SERVICE, "BrandCounter.objects.filter(brand=1).update(spent=0)"),
    (one_module_writes_counters, SERVICE, "models.CampaignCounter.objects.create(spent=0)"),
    (one_module_writes_counters, SERVICE, "campaign.counters.all().delete()"),
    (one_module_writes_counters, SERVICE, "BrandCounter(spent=0).save()"),
    (one_module_writes_counters, SERVICE, "for m in counters: m._default_manager.filter(period=1).update(spent=0)"),
    (one_module_writes_counters, SERVICE, "counter.spent = 0"),
    (one_module_writes_counters, SERVICE, "counter.spent -= x"),
    (one_module_writes_counters, SERVICE, "c.execute('UPDATE campaigns_campaigncounter SET spent = 0')"),
    (one_module_writes_counters, SERVICE, "c.execute(f'INSERT INTO campaigns_brandcounter (a) SELECT {b}')"),
    (one_module_writes_status, SERVICE, "campaign.is_active = True"),
    (one_module_writes_status, SERVICE, "campaign.reasons |= Reason.MANUAL"),
    (one_module_writes_status, SERVICE, "Campaign.objects.filter(pk=1).update(is_active=True, reasons=0)"),
    (one_module_writes_status, SERVICE, "Campaign.objects.bulk_update(rows, ['reasons'])"),
    (one_module_writes_status, SERVICE, "campaign.save(update_fields=['is_active'])"),
    (one_module_writes_status, SERVICE, "Campaign(brand=b, is_active=False)"),
    (one_module_writes_status, SERVICE, "brand.campaigns.update(**{'reasons': 0})"),
    (one_module_writes_status, SERVICE, "setattr(campaign, 'is_active', True)"),
    (one_module_writes_status, SERVICE, "c.execute('UPDATE campaigns_campaign SET name = %s')"),
    (one_module_writes_status, SERVICE, "c.execute('INSERT INTO campaigns_statuschange (a) VALUES (1)')"),
    (one_module_writes_status, SERVICE, "StatusChange.objects.create(campaign=c)"),
    (only_people_pause_by_hand, "campaigns/tasks.py", "campaign.paused_manually = False"),
    (only_people_pause_by_hand, "campaigns/services/enforcement.py", "cs.update(paused_manually=False)"),
    (only_people_pause_by_hand, "campaigns/services/status.py", "c.execute('UPDATE x SET paused_manually = false')"),
    (the_clock_is_read_at_the_door, SERVICE, "from django.utils import timezone\nx = timezone.now()"),
    (the_clock_is_read_at_the_door, SERVICE, "from django.utils import timezone as clock\nx = clock.now()"),
    (the_clock_is_read_at_the_door, SERVICE, "from django.utils.timezone import now\nx = now()"),
    (the_clock_is_read_at_the_door, SERVICE, "from django.utils import timezone\ndef f(read=timezone.now): ..."),
    (the_clock_is_read_at_the_door, SERVICE, "from datetime import datetime\nx = datetime.now(UTC)"),
    (the_clock_is_read_at_the_door, SERVICE, "import datetime as dt\nx = dt.datetime.utcnow()"),
    (the_clock_is_read_at_the_door, SERVICE, "from datetime import date\nx = date.today()"),
    (the_clock_is_read_at_the_door, "campaigns/rules/new.py", "import time\nx = time.time()"),
    (the_clock_is_read_at_the_door, "campaigns/queries/new.py", "from time import time_ns\nx = time_ns()"),
    (the_clock_is_read_at_the_door, SERVICE, "from django.db.models.functions import Now\nx = Now()"),
    (the_clock_is_read_at_the_door, SERVICE, "c.execute('SELECT CURRENT_TIMESTAMP')"),
    (the_clock_is_read_at_the_door, SERVICE, "c.execute(f'... WHERE at < now() {x}')"),
    (the_clock_is_read_at_the_door, SERVICE, "c.execute(\"SELECT date('now')\")"),
    (the_clock_is_read_at_the_door, "campaigns/models/new.py", "at = models.DateTimeField(auto_now_add=True)"),
    (the_clock_is_read_at_the_door, "campaigns/models/catalog.py", IN_A_MODEL),
    (now_has_no_default, SERVICE, "def f(*, now: datetime | None = None): ..."),
    (now_has_no_default, SERVICE, "def f(a, now=None): ..."),
]  # fmt: skip

KEPT: list[tuple[Guard, str, str]] = [
    (money_is_no_float, SERVICE, '"""Nothing goes through float(x)."""\nx = Decimal(y)'),
    (the_ledger_is_append_only, SERVICE, "c.execute('INSERT INTO campaigns_spendlog (x) ON CONFLICT DO NOTHING')"),
    (the_ledger_is_append_only, SERVICE, "SpendLog.objects.create(amount=1)"),
    (one_module_writes_counters, SERVICE, "BrandCounter.objects.filter(brand=1).first()"),
    (one_module_writes_counters, SERVICE, "counters.add({key: 5})"),
    (one_module_writes_counters, SERVICE, "c.execute('SELECT spent FROM campaigns_brandcounter FOR UPDATE')"),
    (one_module_writes_status, SERVICE, "Campaign.objects.filter(is_active=True).exclude(reasons=0)"),
    (one_module_writes_status, SERVICE, "x = campaign.reasons if campaign.is_active else 0"),
    (one_module_writes_status, "campaigns/services/status.py", "c.execute('UPDATE campaigns_campaign SET a = 0')"),
    (the_clock_is_read_at_the_door, SERVICE, "import time\nx = time.monotonic()"),
    (the_clock_is_read_at_the_door, SERVICE, "def f(now): return now.date()"),
    (the_clock_is_read_at_the_door, "campaigns/tasks.py", "from django.utils import timezone\nx = timezone.now()"),
    (the_clock_is_read_at_the_door, "campaigns/models/new.py", AS_A_DEFAULT),
    (now_has_no_default, SERVICE, "def f(*, now: datetime, note: str = ''): ..."),
]  # fmt: skip


def told(guard: Guard, path: str, source: str) -> str:
    return f"{guard.__name__}: {source.splitlines()[-1][:60]}"


@pytest.mark.parametrize(("guard", "path", "source"), BROKEN, ids=[told(*row) for row in BROKEN])
def test_a_guard_sees_what_breaks_its_law(guard: Guard, path: str, source: str) -> None:
    assert breaches(guard, path, source)


@pytest.mark.parametrize(("guard", "path", "source"), KEPT, ids=[told(*row) for row in KEPT])
def test_a_guard_lets_pass_what_keeps_it(guard: Guard, path: str, source: str) -> None:
    assert breaches(guard, path, source) == []


def test_every_guard_was_seen_to_fail() -> None:
    assert {guard.__name__ for guard, *_ in BROKEN} == {guard.__name__ for guard in GUARDS}
