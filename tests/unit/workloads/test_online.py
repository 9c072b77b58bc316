import asyncio
import threading
import time
from datetime import timedelta

import pytest

from workloads.lifecycle.base.errors import RequestError
from workloads.lifecycle.features.online import FeastLookup
from workloads.loan_default.definition import LOAN_DEFAULT


@pytest.fixture
def lookup(world):
    made = FeastLookup(world.environment)
    made.connect()
    made._timeout = 10  # a loaded machine is not what is tested
    return made


def fetch(lookup, *customers):
    return asyncio.run(lookup.fetch(tuple((customer,) for customer in customers)))


def refusal(lookup, *customers):
    with pytest.raises(RequestError) as caught:
        fetch(lookup, *customers)
    return caught.value


def test_customers_come_back_in_the_order_asked(lookup, world):
    frame = world.data.frame.set_index("CustomerID")
    assert fetch(lookup, 7, 3).tolist() == frame.loc[[7, 3], list(LOAN_DEFAULT.features)].to_numpy(dtype=float).tolist()


def test_an_unknown_customer_is_404_by_name(lookup):
    error = refusal(lookup, 3, 99_999_999)
    assert (error.status, error.reason) == (404, "unknown_entity")
    assert "CustomerID 99999999; send the vector instead" in str(error)


def test_features_past_their_ttl_are_409_and_say_what_to_run(lookup):
    lookup._ttls = [timedelta(seconds=-10)]
    error = refusal(lookup, 3)
    assert (error.status, error.reason) == (409, "stale_features")
    assert "workloads.lifecycle.pipelines.nightly" in str(error)


def test_before_it_is_connected_it_is_503_with_a_hint(world):
    error = refusal(FeastLookup(world.environment), 3)
    assert (error.status, error.reason, error.retry_after_seconds) == (503, "online_store_down", 1)


def test_a_silent_store_is_asked_once_and_then_left_alone(lookup, monkeypatch):
    monkeypatch.setattr("workloads.lifecycle.features.online._RETRY_SECONDS", 60)
    answers, asked = threading.Event(), []

    class Silent:
        def get_online_features(self, **_):
            asked.append(1)
            answers.wait(60)

    lookup._store = Silent()
    lookup._timeout = 0.1
    try:
        assert refusal(lookup, 3).status == 503
        assert refusal(lookup, 3).reason == "online_store_down"
        assert len(asked) <= 1
    finally:
        answers.set()


def test_a_store_that_is_back_is_used_again(lookup, monkeypatch):
    working = lookup._store

    class Broken:
        def get_online_features(self, **_):
            raise ConnectionError("refused")

    monkeypatch.setattr("workloads.lifecycle.features.online._RETRY_SECONDS", 0.0)
    lookup._store = Broken()
    assert refusal(lookup, 3).status == 503
    lookup._store = working
    assert len(fetch(lookup, 3)) == 1


def test_a_busy_server_does_not_take_the_store_for_dead(lookup):
    """A request keeps loop and interpreter busy for longer than the store may take, which answers in time."""

    class Prompt:
        def __init__(self, store):
            self.store = store

        def get_online_features(self, **named):
            time.sleep(0.05)
            return self.store.get_online_features(**named)

    async def busy():
        asked = asyncio.create_task(lookup.fetch(((3,),)))
        await asyncio.sleep(0)
        began = time.monotonic()
        sum(range(60_000_000))  # one call in C, as parsing a body is: no other thread runs meanwhile
        assert time.monotonic() - began > lookup._timeout
        return await asked

    fetch(lookup, 3)  # Feast's first answer imports and prepares
    lookup._store = Prompt(lookup._store)
    lookup._timeout = 0.3
    assert len(asyncio.run(busy())) == 1


class Store:
    """Answers when it is let: the features of a customer are the customer's number."""

    def __init__(self, workload):
        self.workload, self.reads, self.error = workload, [], None
        self.asked, self.may_answer = threading.Event(), threading.Event()

    def get_online_features(self, entity_rows, **_):
        numbers = [row["CustomerID"] for row in entity_rows]
        self.reads.append(numbers)
        self.asked.set()
        assert self.may_answer.wait(10)
        if self.error:
            raise self.error
        return self.Answer(self.workload, numbers)

    class Answer:
        def __init__(self, workload, numbers):
            self.workload, self.numbers = workload, numbers

        def to_dict(self, *, include_event_timestamps):
            assert include_event_timestamps
            stamps = [0 if number < 0 else int(time.time()) for number in self.numbers]
            names = self.workload.features
            return {name: list(map(float, self.numbers)) for name in names} | {f"{name}__ts": stamps for name in names}


def together(lookup, store, *requests):
    """What requests get that come while the store still reads for customer 0."""

    async def asked():
        first = asyncio.create_task(lookup.fetch(((0,),)))
        assert await asyncio.to_thread(store.asked.wait, 10)
        others = [asyncio.create_task(lookup.fetch(tuple((number,) for number in each))) for each in requests]
        await asyncio.sleep(0)
        store.may_answer.set()
        return (await asyncio.gather(first, *others, return_exceptions=True))[1:]

    return asyncio.run(asked())


@pytest.fixture
def store(lookup):
    lookup._store = Store(LOAN_DEFAULT)
    return lookup._store


def test_requests_that_wait_for_the_store_are_one_read(lookup, store):
    answers = together(lookup, store, [1], [2, 3], [4])
    assert store.reads == [[0], [1, 2, 3, 4]]
    assert [answer[:, 0].tolist() for answer in answers] == [[1], [2, 3], [4]]


def test_customer_that_is_unknown_fails_its_own_request_alone(lookup, store):
    answers = together(lookup, store, [1], [-5], [2])
    assert (answers[1].status, answers[1].reason) == (404, "unknown_entity")
    assert [answers[0][0, 0], answers[2][0, 0]] == [1, 2]


def test_request_of_many_customers_is_read_beside_the_others(lookup, store):
    many = list(range(10, 60))
    answers = together(lookup, store, [1], many)
    assert sorted(store.reads, key=len) == [[0], [1], many]
    assert answers[1][:, 0].tolist() == many


def test_failed_read_is_told_to_each_of_its_requests(lookup, store):
    store.error = OSError("no route")
    answers = together(lookup, store, [1], [2])
    assert {(each.status, each.reason) for each in answers} == {(503, "online_store_down")}


def test_request_that_gave_up_is_not_read_any_more(lookup, store):
    async def asked():
        first = asyncio.create_task(lookup.fetch(((0,),)))
        assert await asyncio.to_thread(store.asked.wait, 10)
        gone = asyncio.create_task(lookup.fetch(((1,),)))
        await asyncio.sleep(0)
        gone.cancel()
        kept = asyncio.create_task(lookup.fetch(((2,),)))
        await asyncio.sleep(0)
        store.may_answer.set()
        await asyncio.gather(first, kept)
        return gone.cancelled()

    assert asyncio.run(asked())
    assert store.reads == [[0], [2]]
