import io

import pandas as pd

from workloads.lifecycle.base.names import CAPTURES, CLIENT_ID
from workloads.lifecycle.ingestion.tombstones import Tombstones, digest
from workloads.lifecycle.monitoring.outcomes import OUTCOMES
from workloads.lifecycle.pipelines.stored_rows import Erased, Linked, places
from workloads.loan_default.definition import LOAN_DEFAULT

VICTIM, OTHER = 1002, 1003
KEY, ENTITY = LOAN_DEFAULT.keys[0], LOAN_DEFAULT.entities[0].name
PLACES = {place.prefix: place for place in places(LOAN_DEFAULT)}
BURIED = Tombstones({"salt": "s"}, frozenset({f"salt-{digest('s', (VICTIM,))}"}))


def stored(rows):
    buffer = io.BytesIO()
    pd.DataFrame(rows).to_parquet(buffer, index=False)
    return buffer.getvalue()


def captures(*rows):
    """Captured rows of `(server's id, client's id, customer)`; a client's id of "" leaves the column out."""
    found = [{"request_id": server, CLIENT_ID: client, "row": 0, KEY: customer} for server, client, customer in rows]
    frame = pd.DataFrame(found).astype({KEY: "Int64"})
    return PLACES[CAPTURES], stored(frame.drop(columns=[CLIENT_ID]) if set(frame[CLIENT_ID]) == {""} else frame)


def told(*rows):
    """Outcomes of `(id, customer)`."""
    frame = pd.DataFrame([{"request_id": request, "row": 0, ENTITY: customer} for request, customer in rows])
    return PLACES[OUTCOMES], stored(frame.astype({ENTITY: "Int64"}))


def left(*contents):
    """Ids of the rows that an erasure of the victim leaves, in the order of the objects."""
    linked = Linked(Erased(LOAN_DEFAULT, BURIED))
    while linked.look(contents):
        pass
    kept = [linked.erased.without(place, "x.parquet", content)[0] for place, content in contents]
    return [pd.read_parquet(io.BytesIO(content))["request_id"].tolist() for content in kept]


def test_rows_go_by_key_and_by_the_entity_of_their_outcome():
    assert left(
        captures(("k1", None, VICTIM), ("k2", None, OTHER), ("k3", None, None)),
        told(("k1", None), ("k2", OTHER), ("k3", VICTIM)),
    ) == [["k2"], ["k2"]]


def test_outcome_that_goes_by_the_clients_id_finds_its_row():
    assert left(
        captures(("k1", "order-1", None), ("k2", "order-2", None)),
        told(("order-1", VICTIM), ("k1", None), ("order-2", OTHER)),
    ) == [["k2"], ["order-2"]]


def test_outcome_by_the_clients_id_goes_with_its_row():
    assert left(captures(("k1", "order-1", VICTIM), ("k2", "order-2", OTHER)), told(("order-1", None))) == [["k2"], []]


def test_clients_id_that_others_have_too_takes_nobody_with_it():
    assert left(
        captures(("k1", "every-day", VICTIM), ("k2", "every-day", OTHER), ("k3", "every-day", None)),
        told(("every-day", VICTIM), ("every-day", OTHER), ("k2", None)),
    ) == [["k2", "k3"], ["every-day", "k2"]]


def test_captures_of_before_have_no_clients_id():
    assert left(
        captures(("order-1", "", VICTIM), ("order-2", "", OTHER)),
        captures(("k3", "order-3", None)),
        told(("order-1", None), ("order-3", VICTIM)),
    ) == [["order-2"], [], []]
