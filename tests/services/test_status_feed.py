"""The status feed: a reader that follows its cursors misses no change, whoever writes at the same time."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import given, settings

from campaigns.models import BrandCounter, Campaign, StatusChange, feed
from campaigns.models.feed import PositionError
from campaigns.queries import status_feed
from campaigns.queries.status_feed import CampaignStatus, Feed, feed_since, has_changed, whole_feed
from campaigns.rules import pacing, reasons, verdict
from campaigns.rules.reasons import Reason
from campaigns.services import audit, catalog, reset_daily_budgets
from campaigns.services.enforcement import enforce_all
from campaigns.services.spend import record_spend
from tests import factories
from tests.factories import NOW, event, spend
from tests.services.races import PATIENCE, Worker, _until, results_of, together
from tests.services.test_one_verdict import OneBrand, build, facts, worlds

postgresql, sqlite = pytest.mark.postgresql, pytest.mark.sqlite
# On PostgreSQL nothing is behind a position before it is committed: so each change is in a transaction of its own.
at_once = pytest.mark.django_db(transaction=True)

TODAY = NOW.date()


class Reader:
    """An ad server that follows the feed: what it knows, and the cursor that it goes on from."""

    def __init__(self, *, now: datetime = NOW, brand_ids: frozenset[int] | None = None) -> None:
        self.brand_ids = brand_ids
        self.known: dict[int, CampaignStatus] = {}
        first = whole_feed(now=now, brand_ids=brand_ids)
        assert first.removed == []
        self._take(first)

    def follow(self, now: datetime = NOW) -> set[int]:
        """Read on; return the ids of the campaigns that were told, the removed ones below zero."""
        news = feed_since(seen=self.position, now=now, brand_ids=self.brand_ids)
        assert len({one.id for one in news.campaigns} | set(news.removed)) == len(news.campaigns) + len(news.removed)
        self._take(news)
        return {one.id for one in news.campaigns} | {-one for one in news.removed}

    def changed(self) -> bool:
        """Whether there is news, as a conditional request asks."""
        return has_changed(seen=self.position, brand_ids=self.brand_ids)

    def _take(self, news: Feed) -> None:
        self.position = news.position
        for one in news.campaigns:
            self.known[one.id] = one
        for gone in news.removed:
            self.known.pop(gone, None)


def table(now: datetime = NOW, brand_ids: frozenset[int] | None = None) -> dict[int, CampaignStatus]:
    """What a new reader learns."""
    return {one.id: one for one in whole_feed(now=now, brand_ids=brand_ids).campaigns}


# --- Every kind of change --------------------------------------------------------------------


def create(campaign: Campaign) -> None:
    factories.campaign(campaign.brand)


def archive_sibling(campaign: Campaign) -> None:
    catalog.archive_campaign(campaign_id=_sibling(campaign).pk, now=NOW)


def delete_sibling(campaign: Campaign) -> None:
    catalog.delete_campaign(campaign_id=_sibling(campaign).pk, now=NOW)


def _sibling(campaign: Campaign) -> Campaign:
    return Campaign.objects.filter(brand=campaign.brand_id).exclude(pk=campaign.pk).order_by("pk")[0]


def of_campaign(**fields: Any) -> Callable[[Campaign], object]:
    return lambda c: catalog.update_campaign(campaign_id=c.pk, now=NOW, **fields)


def of_brand(**fields: Any) -> Callable[[Campaign], object]:
    return lambda c: catalog.update_brand(brand_id=c.brand_id, now=NOW, **fields)


def repair(campaign: Campaign) -> object:
    BrandCounter.objects.filter(brand=campaign.brand_id).update(spent=100)
    return audit.repair_ledger(now=NOW)


def pass_at(now: datetime) -> Callable[[Campaign], object]:
    return lambda _: enforce_all(now=now)


TOMORROW = NOW + timedelta(days=1)

# What is done to a campaign (or its brand), and whom it concerns: "one" that campaign, "both" its brand's two.
CHANGES: dict[str, tuple[Callable[[Campaign], object], str]] = {
    "created": (create, "new"),
    "external id": (of_campaign(external_id="x"), "one"),
    "own daily budget": (of_campaign(daily_budget=0), "one"),
    "own monthly budget": (of_campaign(monthly_budget=0), "one"),
    "own total budget": (of_campaign(total_budget=0), "one"),
    "a budget that changes no status": (of_campaign(daily_budget=5), "one"),
    "flight start": (of_campaign(flight_start=TODAY + timedelta(days=3)), "one"),
    "flight end": (of_campaign(flight_end=TODAY - timedelta(days=3)), "one"),
    "window": (lambda c: catalog.set_window(campaign_id=c.pk, start_hour=13, end_hour=14, now=NOW), "one"),
    "grid": (lambda c: catalog.set_grid(campaign_id=c.pk, grid="01" * 84, now=NOW), "one"),
    "window that is open": (lambda c: catalog.set_window(campaign_id=c.pk, start_hour=9, end_hour=14, now=NOW), "one"),
    "no schedule": (lambda c: catalog.clear_schedule(campaign_id=c.pk, now=NOW), "one"),
    "paused": (lambda c: catalog.pause(campaign_id=c.pk, now=NOW), "one"),
    "archived": (lambda c: catalog.archive_campaign(campaign_id=c.pk, now=NOW), "gone"),
    "deleted": (lambda c: catalog.delete_campaign(campaign_id=c.pk, now=NOW), "gone"),
    "brand archived": (lambda c: catalog.archive_brand(brand_id=c.brand_id, now=NOW), "both gone"),
    "brand deleted": (lambda c: catalog.delete_brand(brand_id=c.brand_id, now=NOW), "both gone"),
    "brand's daily budget": (of_brand(daily_budget=0), "both"),
    "brand's monthly budget": (of_brand(monthly_budget=0), "both"),
    "brand's scope": (of_brand(budget_scope="campaign"), "both"),
    "brand's zone": (of_brand(timezone="Asia/Tokyo"), "both"),
    "upserted": (
        lambda c: catalog.upsert_campaign(brand_id=c.brand_id, external_id="new", name="New", now=NOW),
        "new",
    ),
    "spend that crosses its own budget": (
        lambda c: (of_campaign(daily_budget=10)(c), spend(c, 10)),
        "one",
    ),
    "counters repaired": (lambda c: (of_brand(daily_budget=10)(c), repair(c)), "both"),
    "the pass": (lambda c: (of_campaign(flight_end=TODAY)(c), enforce_all(now=TOMORROW)), "one"),
    "roll-over": (lambda c: (of_campaign(flight_end=TODAY)(c), reset_daily_budgets(now=TOMORROW)), "one"),
}


@at_once
@pytest.mark.parametrize(("change", "whom"), CHANGES.values(), ids=CHANGES)
def test_every_change_is_told_and_to_whom_it_concerns(change: Callable[[Campaign], object], whom: str) -> None:
    brand = factories.brand()
    one, two, stranger = factories.campaign(brand), factories.campaign(brand), factories.campaign()
    reader = Reader()
    mine = Reader(brand_ids=frozenset({brand.pk}))
    others = Reader(brand_ids=frozenset({stranger.brand_id}))
    assert not reader.changed()
    change(one)
    ids = set(Campaign.objects.values_list("pk", flat=True))
    expected = {
        "one": {one.pk},
        "both": {one.pk, two.pk},
        "new": ids - {one.pk, two.pk, stranger.pk},
        "gone": {-one.pk},
        "both gone": {-one.pk, -two.pk},
    }[whom]
    assert expected
    assert reader.changed()
    assert mine.changed()
    assert not others.changed()
    now = TOMORROW if Campaign.objects.filter(flight_end=TODAY).exists() else NOW
    assert reader.follow(now) == expected
    assert mine.follow(now) == expected
    assert others.follow(now) == set()
    assert reader.known == table(now)
    assert not reader.changed()
    assert reader.follow(now) == mine.follow(now) == set()


@at_once
@pytest.mark.parametrize(
    "back",
    [
        lambda c: catalog.resume(campaign_id=c.pk, now=NOW),
        lambda c: catalog.update_brand(brand_id=c.brand_id, daily_budget=100, now=NOW),
        lambda c: spend(c, -5, note="back"),
    ],
    ids=["a person", "a budget", "a correction"],
)
def test_what_resumes_is_told(back: Callable[[Campaign], object]) -> None:
    campaign = factories.campaign(factories.brand(daily_budget=10))
    catalog.pause(campaign_id=campaign.pk, now=NOW)
    spend(campaign, 12)
    reader = Reader()
    assert reader.known[campaign.pk].reasons == Reason.MANUAL | Reason.BRAND_DAILY_BUDGET
    back(campaign)
    assert reader.follow() == {campaign.pk}
    assert reader.known == table()
    assert reader.known[campaign.pk].reasons in (Reason.MANUAL, Reason.BRAND_DAILY_BUDGET)


@at_once
def test_a_new_day_is_told_when_the_pass_has_judged_it() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=10))
    spend(campaign, 10)
    reader = Reader()
    midnight = datetime(2025, 6, 19, tzinfo=UTC)
    assert reader.known[campaign.pk].resumes_at == midnight
    assert reader.follow(midnight) == set()
    enforce_all(now=midnight)
    assert reader.follow(midnight) == {campaign.pk}
    assert reader.known[campaign.pk] == CampaignStatus(
        campaign.pk, campaign.brand_id, None, reasons.NONE, None, pacing.ONE
    )


@at_once
@pytest.mark.parametrize("owner", ["brand", "campaign"])
def test_a_budget_that_is_spent_again_before_the_pass_is_told_with_its_new_moment(owner: str) -> None:
    """After midnight yesterday's reason is still stored; spent again, it is the same, but resumes a day later."""
    brand = factories.brand(daily_budget=10 if owner == "brand" else None)
    campaign = factories.campaign(brand, daily_budget=10 if owner == "campaign" else None)
    spend(campaign, 10)
    reader = Reader()
    midnight = datetime(2025, 6, 19, tzinfo=UTC)
    assert reader.known[campaign.pk].resumes_at == midnight
    spend(campaign, 10, now=midnight + timedelta(seconds=1))
    assert reader.follow(midnight + timedelta(seconds=2)) == {campaign.pk}
    assert reader.known[campaign.pk].resumes_at == midnight + timedelta(days=1)


@at_once
def test_spend_that_changes_nothing_is_no_news() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=10))
    reader = Reader()
    spend(campaign, 9)
    enforce_all(now=NOW)
    assert not reader.changed()
    assert reader.follow() == set()


@at_once
def test_one_that_came_and_went_between_two_readings_is_told_as_removed() -> None:
    reader = Reader()
    campaign = factories.campaign()
    catalog.delete_campaign(campaign_id=campaign.pk, now=NOW)
    assert reader.follow() == {-campaign.pk}


@at_once
def test_what_was_rolled_back_is_no_news() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=10))
    reader = Reader()
    with transaction.atomic():
        spend(campaign, 10)
        transaction.set_rollback(True)
    assert reader.follow() == set()
    spend(campaign, 10)
    assert reader.follow() == {campaign.pk}
    assert reader.known == table()


@at_once
def test_a_reader_of_no_brands_sees_nothing() -> None:
    reader = Reader(brand_ids=frozenset())
    campaign = factories.campaign()
    catalog.pause(campaign_id=campaign.pk, now=NOW)
    assert not reader.changed()
    assert reader.follow() == set()
    assert reader.known == {}


@at_once
def test_an_empty_feed() -> None:
    reader = Reader()
    assert (reader.known, reader.follow(), reader.changed()) == ({}, set(), False)
    campaign = factories.campaign()
    assert reader.follow() == {campaign.pk}


# --- When it resumes -------------------------------------------------------------------------


@pytest.mark.django_db
@settings(deadline=None, max_examples=40)
@given(case=worlds())
def test_when_it_resumes_is_what_the_rule_says(case: tuple[datetime, list[OneBrand]]) -> None:
    now, world = case
    with transaction.atomic():
        built = build(now, world)
        enforce_all(now=now)
        terms = [facts(brand, one, now) for brand in world for one in brand.campaigns]
        told = table(now)
        for (campaign, why), (its_terms, spent) in zip(built, terms, strict=True):
            expected = verdict.resumes_at(its_terms, spent, now) if why else None
            assert told[campaign.pk].reasons == why
            assert told[campaign.pk].resumes_at == expected
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_campaigns_that_are_alike_are_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    brand = factories.brand(daily_budget=10)
    campaigns = [factories.campaign(brand) for _ in range(20)]
    spend(campaigns[0], 10)
    calls: list[object] = []
    plain = status_feed._resumes_at

    def counting(*given: Any) -> datetime | None:
        calls.append(given)
        return plain(*given)

    monkeypatch.setattr(status_feed, "_resumes_at", counting)
    assert {one.resumes_at for one in table().values()} == {datetime(2025, 6, 19, tzinfo=UTC)}
    assert len(calls) == 1


# --- Positions -------------------------------------------------------------------------------

NO_POSITIONS = [
    *("", " ", "x", "-1", "1.5", "+1", "1 ", "٣", "²", "1:", ":1:", "1:1", "1::1", "0:1:", "1:1:1", "5:1:", "1:9:9"),
    *("1:9:3,2", "1:9:3,3", "1:9:0", "1:9:3,", "1:9:,", "1:9:3;4", " 1:9:3", "1:9:3 ", "1:9:3\n", "1:9:x"),
    *("9" * 18, "9" * 19, "9" * 20, "9" * 5000, f"1:{2**63}:", f"{2**63}:{2**63}:", f"1:{2**64}:"),
    *("1:9:" + "3," * 9999, "1:" + "9" * 18 + ":", "'; DROP TABLE campaigns_brand; --"),
]


@pytest.mark.django_db
@pytest.mark.parametrize("seen", NO_POSITIONS, ids=range(len(NO_POSITIONS)))
def test_what_is_no_position_is_said_in_a_sentence(seen: str) -> None:
    factories.campaign()
    for read in (partial(feed_since, now=NOW), has_changed):
        with pytest.raises(PositionError, match="not one of this feed; fetch the feed without changed_since"):
            read(seen=seen, brand_ids=None)


@pytest.mark.django_db
@sqlite
def test_positions_on_sqlite_are_numbers_and_one_of_the_future_is_none() -> None:
    assert feed.position(connection) == "0"
    campaign = factories.campaign()
    here = int(feed.position(connection))
    assert {one.id for one in feed_since(seen="0", now=NOW, brand_ids=None).campaigns} == {campaign.pk}
    assert feed_since(seen=str(here), now=NOW, brand_ids=None).campaigns == []
    with pytest.raises(PositionError):
        feed.since(connection, str(here + 1))


@pytest.mark.django_db
@sqlite
def test_each_statement_on_sqlite_has_a_later_position_than_all_before_it() -> None:
    brand = factories.brand(daily_budget=10)
    campaigns = [factories.campaign(brand) for _ in range(3)]
    seen = [int(feed.position(connection))]
    for act in (
        lambda: spend(campaigns[0], 10),
        lambda: catalog.update_brand(brand_id=brand.pk, daily_budget=20, now=NOW),
        lambda: catalog.set_window(campaign_id=campaigns[1].pk, start_hour=1, end_hour=2, now=NOW),
        lambda: catalog.delete_campaign(campaign_id=campaigns[2].pk, now=NOW),
    ):
        act()
        seen.append(int(feed.position(connection)))
    assert seen == sorted(set(seen))


@at_once
def test_what_was_journaled_before_the_feed_was_made_is_behind_every_position() -> None:
    """The rows of an older version have no transaction: a reader has them from its first reading."""
    campaign = factories.campaign()
    old = {f"{of}_{what}": 0 for of in ("brand_daily", "brand_monthly", "campaign_daily", "campaign_monthly",
                                        "campaign_total") for what in ("spent",)}  # fmt: skip
    StatusChange.objects.create(
        brand=campaign.brand, campaign=campaign, at=NOW, cause="pass", to_reasons=Reason.MANUAL, transaction_id=0, **old
    )
    reader = Reader()
    assert reader.follow() == set()
    assert not reader.changed()


# --- Under concurrent writers ----------------------------------------------------------------


class Writer:
    """A writer whose transaction is open: it has written, and commits (or not) when it is told."""

    def __init__(self, work: Callable[[], object], *, rollback: bool = False) -> None:
        import threading

        self._written, self._go = threading.Event(), threading.Event()

        def write() -> None:
            with transaction.atomic():
                work()
                self._written.set()
                assert self._go.wait(PATIENCE)
                if rollback:
                    transaction.set_rollback(True)

        self._worker = Worker(write)
        self._worker.start()
        _until(lambda: self._written.is_set() or not self._worker.is_alive())
        if not self._written.is_set():
            self._worker.result()

    def commit(self) -> None:
        self._go.set()
        self._worker.result()


def pause(campaign: Campaign) -> Callable[[], object]:
    return lambda: catalog.pause(campaign_id=campaign.pk, now=NOW)


def rename(campaign: Campaign) -> Callable[[], object]:
    return lambda: catalog.update_campaign(campaign_id=campaign.pk, external_id=f"x{campaign.pk}", now=NOW)


@postgresql
@at_once
@pytest.mark.parametrize("act", [pause, rename], ids=["a status", "the catalogue"])
def test_a_writer_that_began_before_the_cursor_and_commits_after_it(act: Callable[[Campaign], Any]) -> None:
    campaigns = [factories.campaign() for _ in range(3)]
    reader = Reader()
    slow = Writer(act(campaigns[0]))
    act(campaigns[1])()
    assert reader.follow() == {campaigns[1].pk}  # past the slow one, which has an older number
    assert reader.follow() == set()
    act(campaigns[2])()
    assert reader.follow() == {campaigns[2].pk}
    slow.commit()
    assert reader.changed()
    assert reader.follow() == {campaigns[0].pk}
    assert reader.follow() == set()
    assert reader.known == table()


@postgresql
@at_once
def test_a_naive_cursor_misses_it() -> None:
    """The negative control: "everything after the largest number that I saw" passes over what is committed late."""
    campaigns = [factories.campaign() for _ in range(2)]

    def news(after: int) -> set[int]:
        return set(StatusChange.objects.filter(pk__gt=after).values_list("campaign_id", flat=True))

    def largest() -> int:
        return StatusChange.objects.order_by("-pk").values_list("pk", flat=True).first() or 0

    cursor = largest()
    slow = Writer(pause(campaigns[0]))
    pause(campaigns[1])()
    assert news(cursor) == {campaigns[1].pk}
    cursor = largest()
    slow.commit()
    assert news(cursor) == set()


@postgresql
@at_once
def test_many_writers_that_end_in_any_order() -> None:
    campaigns = [factories.campaign() for _ in range(6)]
    reader = Reader()
    writers = {campaign.pk: Writer(pause(campaign)) for campaign in campaigns}
    for at in (3, 5, 0, 1, 4, 2):
        assert reader.follow() == set()
        writers[campaigns[at].pk].commit()
        assert reader.follow() == {campaigns[at].pk}
    assert reader.known == table()


@postgresql
@at_once
def test_a_writer_within_savepoints_is_told_when_the_whole_is_committed() -> None:
    campaigns = [factories.campaign() for _ in range(3)]

    def work() -> None:
        with transaction.atomic():
            pause(campaigns[0])()
        with transaction.atomic():
            pause(campaigns[1])()
            transaction.set_rollback(True)
        with transaction.atomic(), transaction.atomic():
            rename(campaigns[2])()

    reader = Reader()
    slow = Writer(work)
    assert reader.follow() == set()
    factories.campaign()
    reader.follow()
    slow.commit()
    assert reader.follow() == {campaigns[0].pk, campaigns[2].pk}
    assert reader.known == table()


@postgresql
@at_once
def test_a_writer_that_is_rolled_back_is_never_told() -> None:
    campaign = factories.campaign()
    reader = Reader()
    slow = Writer(pause(campaign), rollback=True)
    factories.campaign()
    reader.follow()
    slow.commit()
    assert not reader.changed()
    assert reader.follow() == set()
    assert reader.known == table()


@postgresql
@at_once
@pytest.mark.parametrize("before", ["since", "position", "_changed", "_read"])
@pytest.mark.parametrize("busy", [False, True], ids=["alone", "beside a writer"])
def test_what_is_committed_while_the_feed_is_read(before: str, busy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between any two of its statements: two writers, so that the later one has a number nobody knew of before."""
    campaigns = [factories.campaign() for _ in range(5)]
    reader = Reader()
    slow = Writer(pause(campaigns[4])) if busy else None
    rename(campaigns[0])()
    owner: Any = feed if hasattr(feed, before) else status_feed
    plain = getattr(owner, before)
    done: list[str] = []

    def interrupted(*args: Any) -> Any:
        if not done:
            done.append(before)
            results_of([started(Worker(pause(campaign))) for campaign in campaigns[:2]])
            results_of([started(Worker(rename(campaign))) for campaign in campaigns[2:4]])
        return plain(*args)

    with monkeypatch.context() as patch:
        patch.setattr(owner, before, interrupted)
        first = reader.follow()
    assert done
    second = reader.follow()
    assert first | second == {campaign.pk for campaign in campaigns[:4]}
    if slow is not None:
        slow.commit()
        assert reader.follow() == {campaigns[4].pk}
    assert reader.known == table()


@postgresql
@at_once
@pytest.mark.parametrize("before", ["position", "_read", "_resumptions"])
def test_what_is_committed_while_the_whole_feed_is_read(before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    brand = factories.brand(daily_budget=10)
    campaigns = [factories.campaign(brand) for _ in range(3)]
    owner: Any = feed if hasattr(feed, before) else status_feed
    plain = getattr(owner, before)
    done: list[str] = []

    def interrupted(*args: Any) -> Any:
        if not done:
            done.append(before)
            results_of([started(Worker(partial(spend, campaigns[0], 10))), started(Worker(rename(campaigns[1])))])
        return plain(*args)

    with monkeypatch.context() as patch:
        patch.setattr(owner, before, interrupted)
        reader = Reader()
    assert done
    reader.follow()
    assert reader.known == table()
    assert {one.resumes_at for one in reader.known.values()} == {datetime(2025, 6, 19, tzinfo=UTC)}


def started(worker: Worker[Any]) -> Worker[Any]:
    worker.start()
    worker.join(PATIENCE)
    return worker


class Naive(Reader):
    """The negative control: it goes on from the largest number that it saw, and remembers which rows it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.told = self._largest(), set[int]()
        self.first = self.last

    def follow(self, _: datetime = NOW) -> set[int]:
        here = self._largest()
        rows = StatusChange.objects.filter(pk__gt=self.last, pk__lte=here).values_list("pk", flat=True)
        self.told.update(rows)
        self.last = here
        return set(rows)

    def missed(self) -> set[int]:
        """The rows that it was never told."""
        return set(StatusChange.objects.filter(pk__gt=self.first).values_list("pk", flat=True)) - self.told

    @staticmethod
    def _largest() -> int:
        return StatusChange.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


class Crowd:
    """Several writers pause, resume, rename, spend and create in transactions of all lengths; one reader polls."""

    def __init__(self, *, dawdle: float = 0.3) -> None:
        self.dawdle = dawdle
        self.brands = [factories.brand(daily_budget=30) for _ in range(2)]
        self.campaigns = [factories.campaign(self.brands[at % 2]) for at in range(8)]
        self.done: list[int] = []

    def meet(self, reader: Reader, *, writers: int, rounds: int) -> None:
        """Have them write for some rounds while the reader follows."""

        def read() -> None:
            while len(self.done) < writers:
                reader.follow()

        together(read, *(partial(self._write, number, rounds) for number in range(writers)))

    def _write(self, number: int, rounds: int) -> None:
        dice = random.Random(number)
        try:
            for at in range(rounds):
                self._act(dice, number, at)
        finally:
            self.done.append(number)

    def _act(self, dice: random.Random, number: int, at: int) -> None:
        campaign = dice.choice(self.campaigns)
        with transaction.atomic():
            dice.choice([catalog.pause, catalog.resume])(campaign_id=campaign.pk, now=NOW)
            self._dawdle(dice)
            transaction.set_rollback(dice.random() < 0.2)
        if at % 5 == 0:
            record_spend([event(dice.choice(self.campaigns), dice.choice([7, 40]))], now=NOW)
            record_spend([event(dice.choice(self.campaigns), -20, note="less")], now=NOW)
        if at % 7 == 0:
            factories.campaign(dice.choice(self.brands))
            catalog.update_campaign(campaign_id=campaign.pk, external_id=f"{number}-{at}", now=NOW)

    def _dawdle(self, dice: random.Random) -> None:
        if connection.vendor == "postgresql" and dice.random() < self.dawdle:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(%s)", [dice.random() / 100])


@at_once
def test_a_reader_that_polls_while_many_write_knows_all_in_the_end() -> None:
    reader = Reader()
    Crowd().meet(reader, writers=4, rounds=25)
    reader.follow()
    assert reader.known == table()
    assert len(reader.known) > 8
    assert reader.follow() == set()


@postgresql
@at_once
def test_a_naive_reader_does_not() -> None:
    """Nearly always it has missed some in the first round; it gets more, lest chance decide."""
    for _ in range(12):
        reader = Naive()
        Crowd(dawdle=1).meet(reader, writers=4, rounds=25)
        reader.follow()
        assert reader.told
        if reader.missed():
            return
    pytest.fail("a cursor of the largest number was as good as ours")
