"""Users of an online store that two Feast projects share, on a real Redis: each reaches its own rows alone."""

import runpy
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import redis
from feast.infra.online_stores.helpers import _redis_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from workloads.lifecycle.features import publication
from workloads.lifecycle.operations import recovery

from .servers import free_port
from .test_recovery import await_answer

ACL = runpy.run_path(str(Path(__file__).parents[3] / "infra" / "online_store" / "acl.py"))
OURS, THEIRS = "loan_default", "fleet"
PASSWORD = "of-the-store-itself"
NO_RIGHT = "has no permissions to|no permissions to access"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Port of a Redis that is configured as the platform's is on a cluster."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not on PATH; `make up` installs it")
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    users = [
        ACL["line"](project, access, f"{project}-{access}") for project in (OURS, THEIRS) for access in ACL["ROLES"]
    ]
    base = [f"port {port}", "bind 127.0.0.1", f"dir {folder}", f"requirepass {PASSWORD}", 'save ""']
    (folder / "redis.conf").write_text("\n".join([*base, *users, ""]))
    with subprocess.Popen(["redis-server", str(folder / "redis.conf")], stdout=subprocess.DEVNULL) as process:
        with redis.Redis(port=port, password=PASSWORD) as client:
            await_answer(client)
        yield port
        process.terminate()


@pytest.fixture
def connect(server):
    """Gives clients of a project's user."""
    made = []

    def client(project, access):
        name, password = ACL["user"](project, access), f"{project}-{access}"
        made.append(redis.Redis(port=server, username=name, password=password))
        return made[-1]

    yield client
    for each in made:
        each.close()


@pytest.fixture
def environment(server, world, tmp_path):
    """The world's, with the store as our writer has it, filled by Feast."""
    name, password = ACL["user"](OURS, "rw"), f"{OURS}-rw"
    changes = {
        "feast_online_store": f"127.0.0.1:{server},username={name},password={password}",
        "feast_registry": f"sqlite:///{tmp_path}/registry.db",
    }
    filled = world.environment.model_copy(update=changes)
    publication.refresh(filled)
    return filled


def key(project, number=1):
    """Key of a customer's rows, as Feast makes it."""
    entity = EntityKey(join_keys=["CustomerID"], entity_values=[Value(int64_val=number)])
    return _redis_key(project, entity)


def looked_up(environment, access):
    """Values of customers that Feast finds as a user."""
    name, password = ACL["user"](OURS, access), f"{OURS}-{access}"
    address = environment.feast_online_store.partition(",")[0]
    online = f"{address},username={name},password={password}"
    store = publication.feature_store(environment.model_copy(update={"feast_online_store": online}))
    rows = [{"CustomerID": number} for number in (1, 2)]
    answer = store.get_online_features(publication.references(environment.definition.views), rows).to_dict()
    return np.array([answer[name] for name in environment.definition.features], dtype=float)


def test_a_writer_fills_its_project_and_a_reader_finds_the_rows(environment, connect):
    assert np.isfinite(looked_up(environment, "r")).all()
    assert connect(OURS, "r").hmget(key(OURS), "_ts:customer_features")[0] is not None
    assert recovery.lost_features(environment) is None


def test_a_writer_deletes_the_rows_of_a_view_that_is_no_more(environment, connect):
    store = publication.feature_store(environment)
    (view,) = store.list_feature_views()
    connect(THEIRS, "rw").hset(key(THEIRS), "_ts:customer_features", "x")
    store.delete_feature_view(view.name)
    online = store._get_provider().online_store
    online.update(store.config, [view], [], [], [], partial=False)
    assert connect(OURS, "r").hmget(key(OURS), "_ts:customer_features") == [None]
    assert connect(THEIRS, "r").hmget(key(THEIRS), "_ts:customer_features") == [b"x"]


@pytest.mark.parametrize("access", ["r", "rw"])
@pytest.mark.parametrize(
    "command", [["HMGET", "_ts:customer_features"], ["HSET", "a", "b"], ["HKEYS"], ["HDEL", "a"], ["DEL"]]
)
def test_a_users_commands_stop_at_another_projects_keys(connect, access, command):
    connect(OURS, "rw").hset(key(OURS), "a", "b")
    verb, *arguments = command
    with pytest.raises(redis.exceptions.NoPermissionError, match=NO_RIGHT):
        connect(THEIRS, access).execute_command(verb, key(OURS), *arguments)


BEYOND = [
    *["FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG GET *", "ACL LIST", "ACL GETUSER default", "INFO", "CLIENT LIST"],
    *["MONITOR", "SHUTDOWN NOSAVE", "EVAL return 0", "SCRIPT LOAD x", "SELECT 1", "SWAPDB 0 1"],
    *["REPLICAOF NO ONE", "BGSAVE", "DBSIZE", "RANDOMKEY", "PUBLISH a b", "MULTI", "MODULE LIST"],
]


@pytest.mark.parametrize("access", ["r", "rw"])
@pytest.mark.parametrize("command", BEYOND)
def test_no_user_has_a_command_that_feast_does_not_need(connect, access, command):
    with pytest.raises(redis.exceptions.NoPermissionError, match=NO_RIGHT):
        connect(OURS, access).execute_command(*command.split(" "))


@pytest.mark.parametrize("command", ["RENAME A B", "COPY A B", "DUMP A", "GET A", "HGETALL A", "OBJECT ENCODING A"])
def test_no_other_way_leads_to_a_projects_values(connect, command):
    with pytest.raises(redis.exceptions.NoPermissionError, match=NO_RIGHT):
        connect(THEIRS, "rw").execute_command(*words(command))


@pytest.mark.parametrize("command", ["HSET A a b", "DEL A", "HDEL A a", "EXPIRE A 1", "SCAN 0"])
def test_a_reader_changes_nothing_and_lists_nothing(connect, command):
    with pytest.raises(redis.exceptions.NoPermissionError, match=NO_RIGHT):
        connect(OURS, "r").execute_command(*words(command))


def words(command):
    """Of a command, with our key for `A` and theirs for `B`."""
    keys = {"A": key(OURS), "B": key(THEIRS)}
    return [keys.get(word, word) for word in command.split(" ")]


def test_a_password_is_its_users_alone(server):
    with (
        redis.Redis(port=server, username=ACL["user"](OURS, "r"), password=f"{THEIRS}-r") as client,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        client.ping()
