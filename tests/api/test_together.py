"""Group commit: what is asked at the same moment is done in one call, and nobody is forgotten.

No test waits for time to pass: the work stops where a test says so, and goes on when the test lets it.
"""

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from campaigns.api import together
from campaigns.api.together import FullError, LateError, Together
from campaigns.rules.errors import BudgetError
from tests.services.races import PATIENCE, _until

pytestmark = pytest.mark.once

Answers = Callable[[Sequence[str]], Sequence[str | Exception]]


class KilledError(BaseException):
    """A thread that is ended from outside: no Exception, so nothing that is expected to catch those does."""


def echo(asks: Sequence[str]) -> list[str | Exception]:
    return [f"{one}!" for one in asks]


class Desk:
    """A Together whose work stops before each call until it is let go, and that remembers its calls."""

    def __init__(self, work: Answers = echo, *, most: int = 100, waiting: int = 1_000, weigh: bool = False) -> None:
        self.calls: list[list[str]] = []
        self._work, self._go, self._inside = work, threading.Semaphore(0), threading.Semaphore(0)
        self.together = Together[str, str](self._stop, most=most, waiting=waiting, weigh=len if weigh else lambda _: 1)
        self._pool = ThreadPoolExecutor(64)

    def _stop(self, asks: Sequence[str]) -> Sequence[str | Exception]:
        self.calls.append(list(asks))
        self._inside.release()
        assert self._go.acquire(timeout=PATIENCE)
        return self._work(asks)

    def ask(self, *asks: str) -> list[Future[str]]:
        """Ask in threads of their own, one after the other: each is in the queue or at work before the next."""
        futures = []
        for one in asks:
            before = self.size()
            futures.append(self._pool.submit(self.together, one))
            _until(lambda size=before, last=futures[-1]: self.size() > size or last.done())  # type: ignore[misc]  # mypy can't infer the defaults
        return futures

    @property
    def asked(self) -> list[str]:
        """All that came to be worked on, in order."""
        return [one for call in self.calls for one in call]

    def size(self) -> int:
        """How many have come so far and wait, or are being worked on."""
        return len(self.together._queue) + len(self.asked)

    def inside(self) -> None:
        """Wait until a call is at work."""
        assert self._inside.acquire(timeout=PATIENCE)

    def go(self, calls: int = 1) -> None:
        """Let some calls go on."""
        self._go.release(calls)

    def is_as_new(self, waiting: int = 1_000) -> bool:
        """Nobody waits, nobody leads, and all room is there."""
        desk = self.together
        return (len(desk._queue), desk._led, desk._room) == (0, False, waiting)


@pytest.fixture(autouse=True)
def short_patience_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread of a test waits longer than the test."""
    monkeypatch.setattr(together, "PATIENCE_SECONDS", PATIENCE)


def have_leaders(monkeypatch: pytest.MonkeyPatch, sleep: Callable[[float], None]) -> None:
    """Have leaders do something else than to wait a moment for others."""
    monkeypatch.setattr(together, "time", SimpleNamespace(sleep=sleep))


@pytest.fixture
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Have no leader sleep; return how long they would have."""
    slept: list[float] = []
    have_leaders(monkeypatch, slept.append)
    return slept


def results(futures: Sequence[Future[str]]) -> list[str | BaseException]:
    return [future.exception(PATIENCE) or future.result(PATIENCE) for future in futures]


# --- What is done together -------------------------------------------------------------------


def test_who_comes_alone_waits_for_nobody(no_sleep: list[float]) -> None:
    desk = Desk()
    for at in range(5):
        desk.go()
        assert desk.together(f"{at}") == f"{at}!"
    assert desk.calls == [["0"], ["1"], ["2"], ["3"], ["4"]]
    assert no_sleep == []
    assert desk.is_as_new()


def test_what_gathers_while_one_call_is_at_work_is_the_next_call_in_order() -> None:
    desk = Desk()
    first = desk.ask("a")
    desk.inside()
    rest = desk.ask(*"bcdef")
    assert not any(future.done() for future in first + rest)
    desk.go()
    assert results(first) == ["a!"]
    desk.inside()
    assert not any(future.done() for future in rest)  # nobody is answered before the call has come back
    desk.go()
    assert results(rest) == ["b!", "c!", "d!", "e!", "f!"]
    assert desk.calls == [["a"], [*"bcdef"]]
    assert desk.is_as_new()


def test_a_call_takes_no_more_than_may_be_in_one() -> None:
    desk = Desk(most=2)
    futures = desk.ask(*"abcdef")
    desk.go(6)
    assert results(futures) == [f"{one}!" for one in "abcdef"]
    assert [len(call) for call in desk.calls] == [1, 2, 2, 1]
    assert desk.asked == [*"abcdef"]
    assert desk.is_as_new()


def test_what_weighs_more_than_one_call_takes_goes_alone_and_in_turn() -> None:
    desk = Desk(most=3, weigh=True)
    futures = desk.ask("a", "bb", "cccccc", "d", "ee", "f")
    desk.go(6)
    assert results(futures) == [f"{one}!" for one in ("a", "bb", "cccccc", "d", "ee", "f")]
    assert desk.calls == [["a"], ["bb"], ["cccccc"], ["d", "ee"], ["f"]]
    assert desk.is_as_new()


def test_a_leader_waits_a_moment_for_others_only_where_there_were_some(no_sleep: list[float]) -> None:
    desk = Desk()
    desk.go(10)
    desk.together("alone")
    assert no_sleep == []
    blocked = Desk()
    futures = blocked.ask(*"abc")
    blocked.go(3)
    results(futures)
    assert no_sleep == [together.GATHER_SECONDS]  # by the second leader: the first had come alone
    blocked.go(3)
    blocked.together("d")
    blocked.together("e")
    assert len(no_sleep) == 2  # by d; e knows that nobody came beside d


# --- Room ------------------------------------------------------------------------------------


def test_past_the_room_there_is_there_is_a_clear_error_and_nothing_is_done() -> None:
    desk = Desk(waiting=3)
    futures = desk.ask(*"abc")
    for _ in range(2):
        with pytest.raises(FullError):
            desk.together("d")
    desk.go(3)
    assert results(futures) == ["a!", "b!", "c!"]
    assert "d" not in desk.asked
    desk.go()
    assert desk.together("e") == "e!"
    assert desk.is_as_new(3)


def test_the_room_is_by_weight() -> None:
    desk = Desk(waiting=5, weigh=True)
    futures = desk.ask("aa", "bb")
    with pytest.raises(FullError):
        desk.together("cc")
    futures += desk.ask("c")
    desk.go(3)
    assert results(futures) == ["aa!", "bb!", "c!"]
    with pytest.raises(FullError):
        desk.together("dddddd")
    assert desk.is_as_new(5)


# --- Errors ----------------------------------------------------------------------------------


def test_an_error_for_one_is_raised_for_that_one() -> None:
    desk = Desk(lambda asks: [ValueError(one) if one in "bd" else f"{one}!" for one in asks])
    futures = desk.ask(*"abcde")
    desk.go(2)
    answers = results(futures)
    assert [answer for answer in answers if isinstance(answer, str)] == ["a!", "c!", "e!"]
    assert [str(answer) for answer in answers if isinstance(answer, ValueError)] == ["b", "d"]
    assert desk.is_as_new()


def test_an_error_of_the_call_reaches_everybody_in_it_and_nobody_else() -> None:
    error = ConnectionError("the database went away")

    def work(asks: Sequence[str]) -> Sequence[str | Exception]:
        if "b" in asks:
            raise error
        return echo(asks)

    desk = Desk(work)
    futures = desk.ask(*"abcd")
    desk.go()
    results(futures[:1])
    desk.inside()
    desk.inside()
    later = desk.ask("e", "f")
    desk.go(2)
    assert results(futures) == ["a!", error, error, error]
    assert results(later) == ["e!", "f!"]
    assert desk.calls == [["a"], ["b", "c", "d"], ["e", "f"]]
    assert desk.is_as_new()


@pytest.mark.parametrize("answers", [[], ["one"], ["one"] * 9], ids=["none", "too few", "too many"])
def test_a_call_with_the_wrong_number_of_answers_is_an_error_for_all(answers: list[str]) -> None:
    desk = Desk(lambda asks: echo(asks) if asks == ["a"] else list(answers))
    futures = desk.ask(*"abcd")
    desk.go(2)
    first, *rest = results(futures)
    assert first == "a!"
    assert [type(answer) for answer in rest] == [ValueError] * 3
    assert desk.is_as_new()


def test_one_that_can_not_be_done_does_not_spoil_those_beside_it() -> None:
    """A BudgetError says that nothing was done, so each is asked alone and only the one to blame has it."""

    def work(asks: Sequence[str]) -> Sequence[str | Exception]:
        if "poison" in asks:
            raise BudgetError("too much")
        return echo(asks)

    desk = Desk(work)
    futures = desk.ask("a", "b", "poison", "c")
    desk.go(5)
    answers = results(futures)
    assert [answers[0], answers[1], answers[3]] == ["a!", "b!", "c!"]
    assert isinstance(answers[2], BudgetError)
    assert desk.calls == [["a"], ["b", "poison", "c"], ["b"], ["poison"], ["c"]]
    assert desk.is_as_new()


def test_another_error_while_each_is_asked_alone_is_only_for_that_one() -> None:
    def work(asks: Sequence[str]) -> Sequence[str | Exception]:
        if len(asks) > 1:
            raise BudgetError("too much")
        if asks == ["c"]:
            raise ConnectionError
        return echo(asks)

    desk = Desk(work)
    futures = desk.ask(*"abcd")
    desk.go(5)
    answers = results(futures)
    assert (answers[:2], type(answers[2]), answers[3]) == (["a!", "b!"], ConnectionError, "d!")


# --- Who leaves ------------------------------------------------------------------------------


def killing(victim: str) -> Answers:
    def work(asks: Sequence[str]) -> Sequence[str | Exception]:
        if victim in asks:
            raise KilledError
        return echo(asks)

    return work


def test_a_leader_that_is_killed_at_work_leaves_nobody_behind() -> None:
    desk = Desk(killing("b"))
    futures = desk.ask(*"abc")
    desk.go()
    results(futures[:1])
    desk.inside()
    desk.inside()
    later = desk.ask(*"de")
    desk.go(2)
    killed, beside = results(futures[1:])
    assert isinstance(killed, KilledError)
    assert isinstance(beside, LateError)  # it is not known whether it was done
    assert results(later) == ["d!", "e!"]
    assert desk.is_as_new()


def test_a_leader_that_is_killed_while_it_gathers_leaves_nobody_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    futures = desk.ask(*"abcd")
    kills = iter([True])

    def sleep(_: float) -> None:
        if next(kills, False):
            raise KilledError

    have_leaders(monkeypatch, sleep)
    desk.go(2)
    first, killed, *rest = results(futures)
    assert (first, rest) == ("a!", ["c!", "d!"])
    assert isinstance(killed, KilledError)
    assert desk.calls == [["a"], ["c", "d"]]
    assert desk.is_as_new()


def test_the_last_one_that_is_killed_while_it_gathers_leaves_a_place_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk()
    desk.together._crowded = True

    def sleep(_: float) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        have_leaders(patch, sleep)
        with pytest.raises(KilledError):
            desk.together("a")
    assert desk.is_as_new()
    desk.go()
    assert desk.together("b") == "b!"


@pytest.mark.parametrize("victim", ["b", "c"], ids=["the next leader", "another"])
def test_one_that_is_killed_while_it_waits_leaves_nobody_behind(victim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wait = together._Seat.wait

    def killed(seat: together._Seat[str, str]) -> bool:
        woken = wait(seat)
        if seat.ask == victim:
            raise KilledError
        return woken

    monkeypatch.setattr(together._Seat, "wait", killed)
    desk = Desk()
    futures = desk.ask(*"abcd")
    desk.go(3)
    answers = dict(zip("abcd", results(futures), strict=True))
    assert isinstance(answers.pop(victim), KilledError)
    assert answers == {one: f"{one}!" for one in answers}
    assert desk.is_as_new()
    desk.go()
    assert desk.together("e") == "e!"


def test_one_that_gives_up_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "PATIENCE_SECONDS", 0.01)
    desk = Desk(waiting=3)
    first = desk.ask("a")
    desk.inside()
    for late in "bcde":  # each gives back its room
        with pytest.raises(LateError):
            desk.together(late)
    monkeypatch.setattr(together, "PATIENCE_SECONDS", PATIENCE)
    after = desk.ask("f")
    desk.go(2)
    assert results(first + after) == ["a!", "f!"]
    assert desk.calls == [["a"], ["f"]]
    assert desk.is_as_new(3)


def test_one_that_gives_up_while_it_is_being_done_does_not_hold_up_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its ask is at work by then; whether it will be done is not known."""
    wait = together._Seat.wait
    desk = Desk()
    given_up = threading.Event()

    def impatient(seat: together._Seat[str, str]) -> bool:
        if seat.ask != "c":
            return wait(seat)
        _until(lambda: len(desk.calls) == 2)
        given_up.set()
        return False

    monkeypatch.setattr(together._Seat, "wait", impatient)
    futures = desk.ask(*"abcd")
    desk.go()
    assert isinstance(futures[2].exception(PATIENCE), LateError)
    assert given_up.is_set()
    later = desk.ask("e")
    desk.go(2)
    assert results(futures[:2] + futures[3:] + later) == ["a!", "b!", "d!", "e!"]
    assert desk.calls == [["a"], ["b", "c", "d"], ["e"]]
    assert desk.is_as_new()


def test_one_that_gives_up_at_the_moment_it_gets_the_lead_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = together._Seat.wait

    def just_too_late(seat: together._Seat[str, str]) -> bool:
        assert wait(seat)
        return seat.ask != "b"

    monkeypatch.setattr(together._Seat, "wait", just_too_late)
    desk = Desk()
    futures = desk.ask(*"abc")
    desk.go(2)
    assert results(futures) == ["a!", "b!", "c!"]
    assert desk.is_as_new()


# --- Many ------------------------------------------------------------------------------------


def is_right(desk: Together[str, str], one: str) -> bool:
    """Ask; return whether the answer is that one's own, or an error that it may get."""
    try:
        return desk(one) == f"{one}!"
    except ConnectionError:
        return True
    except BudgetError:
        return one.endswith("7")
    except ValueError as error:
        return str(error) == one


def test_many_threads_each_get_their_own_answer() -> None:
    dice = random.Random(5)
    sizes: list[int] = []

    def work(asks: Sequence[str]) -> Sequence[str | Exception]:
        sizes.append(len(asks))
        if dice.random() < 0.05:
            raise ConnectionError
        if any(one.endswith("7") for one in asks):
            raise BudgetError("too much")
        return [ValueError(one) if one.endswith("3") else f"{one}!" for one in asks]

    desk = Together[str, str](work, most=7, waiting=10_000)

    def client(number: int) -> int:
        return sum(is_right(desk, f"{number}-{at}") for at in range(60))

    with ThreadPoolExecutor(32) as pool:
        assert sum(pool.map(client, range(32))) == 32 * 60
    assert max(sizes) <= 7
    assert (len(desk._queue), desk._led, desk._room) == (0, False, 10_000)
