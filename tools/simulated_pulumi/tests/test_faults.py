"""What happens to a stack when its provider misbehaves: the engine is real, the faults are injected."""

import fakes
import pulumi
import pytest
from pytest_pulumi.engine import Stack
from pytest_pulumi.result import OperationError

from simulated_pulumi.backend import TemporaryBackend
from simulated_pulumi.providers import NotReadyError, Operation, Planned, SimulatedProvider, simulate

pytestmark = pytest.mark.engine


class Fake(SimulatedProvider):
    package = "fake"

    def settle(self, planned: Planned, item):  # noqa: ARG002
        if planned.inputs.get("slow"):
            raise NotReadyError(f"{planned.name} is still starting")


@pytest.fixture
def fake():
    return Fake()


def chain(count, **props):
    """Buckets that are made one after the other."""

    def program():
        explicit = pulumi.ResourceOptions(provider=fakes.Provider("main"))
        last = None
        for number in range(count):
            last = fakes.Bucket(f"b{number}", explicit, source=None if last is None else last.id, **props)

    return program


def test_nth_operation_fails_and_the_next_update_resumes(pulumi_stack, fake):
    stack = pulumi_stack(chain(4), providers=[fake])
    fake.faults.add("fail", on="create", nth=3, message="quota exceeded")
    with pytest.raises(OperationError, match="quota exceeded") as caught:
        stack.up()
    assert caught.value.result.step("b2").op == "create"
    assert sorted(item.urn.rsplit("::", 1)[-1] for item in fake.items.values()) == ["b0", "b1"]
    assert stack.up().counts == {"create": 2}


def test_faults_hit_only_the_type_and_name_they_are_for(pulumi_stack, fake):
    stack = pulumi_stack(chain(2), providers=[fake])
    fake.faults.add("fail", type="other:*")
    fake.faults.add("fail", name="nobody")
    assert stack.up().counts["create"] == 4


def test_a_probability_is_reproducible_by_its_seed():
    outcomes = []
    for _ in range(2):
        fake = Fake()
        fake.faults.add("fail", probability=0.5, seed=7)
        strikes = [fake.faults.strike(operation) is not None for operation in [creation(n) for n in range(50)]]
        outcomes.append(strikes)
    assert outcomes[0] == outcomes[1]
    assert 10 < sum(outcomes[0]) < 40


def creation(number):
    return Operation("create", "fake:s3/bucket:Bucket", f"b{number}")


def test_a_stack_gets_through_random_failures_by_trying_again(pulumi_stack, fake):
    stack = pulumi_stack(chain(6), providers=[fake])
    fake.faults.add("fail", probability=0.4, seed=3)
    failures = 0
    for _ in range(20):
        try:
            stack.up()
            break
        except OperationError:
            failures += 1
    assert 0 < failures < 20
    assert len(fake.items) == 6
    stack.assert_no_changes()


def test_lost_answer_leaves_an_object_that_the_state_lacks(pulumi_stack, fake):
    stack = pulumi_stack(chain(1), providers=[fake])
    fake.faults.add("lose_answer", on="create", nth=1)
    with pytest.raises(OperationError, match="the answer was lost after the operation took effect"):
        stack.up()
    orphan = fake.item(name="b0")
    assert not [r for r in stack.resources() if r["type"] == "fake:s3/bucket:Bucket"]
    stack.up()
    assert len(fake.items) == 2
    stack.destroy()
    assert list(fake.items.values()) == [orphan]


def test_unreachable_service_fails_every_operation_until_it_is_back(pulumi_stack, fake):
    stack = pulumi_stack(chain(2), providers=[fake])
    stack.up()
    fake.faults.unreachable = True
    for operation in (stack.refresh, stack.destroy):
        with pytest.raises(OperationError, match="the service cannot be reached"):
            operation()
    fake.faults.clear()
    assert stack.destroy().counts == {"delete": 4}


def test_provider_crash_ends_the_update_and_the_next_one_resumes(pulumi_stack, fake):
    stack = pulumi_stack(chain(3), providers=[fake])
    fake.faults.add("crash", on="create", nth=2)
    with pytest.raises(OperationError):
        stack.up()
    assert [item.urn.rsplit("::", 1)[-1] for item in fake.items.values()] == ["b0"]
    assert len([r for r in stack.resources() if r["type"] == "fake:s3/bucket:Bucket"]) == 1
    assert stack.up().counts == {"create": 2}


def test_what_never_becomes_ready_is_kept_with_its_reason(pulumi_stack, fake):
    stack = pulumi_stack(chain(1, slow=True), providers=[fake])
    with pytest.raises(OperationError, match="b0 is still starting"):
        stack.up()
    (kept,) = [r for r in stack.resources() if r["type"] == "fake:s3/bucket:Bucket"]
    assert kept["initErrors"] == ["b0 is still starting"]


def test_previews_are_spared(pulumi_stack, fake):
    stack = pulumi_stack(chain(1), providers=[fake])
    fake.faults.add("fail")
    assert stack.preview().counts == {"create": 3}


def test_nothing_is_changed_outside_of_the_temporary_backend(pulumi_cli, fake, tmp_path):
    stranger = TemporaryBackend(tmp_path / "stands for a user's backend")
    stack = Stack(pulumi_cli, stranger, program=chain(1), providers=[fake])
    try:
        fake.backend = TemporaryBackend(tmp_path / "other")
        assert stack.preview().counts == {"create": 3}
        with pytest.raises(OperationError, match="changes nothing outside of a temporary backend"):
            stack.up()
        assert fake.items == {}
    finally:
        stack.close()


def test_providers_are_attached_by_port_and_never_on_path(fake, tmp_path):
    with simulate(TemporaryBackend(tmp_path / "b"), fake) as variables:
        assert variables["PULUMI_DEBUG_PROVIDERS"].startswith("fake:")
        assert "PATH" not in variables


def test_only_a_folder_made_for_it_is_a_temporary_backend(tmp_path):
    with pytest.raises(ValueError, match="is no temporary backend of simulated-pulumi"):
        TemporaryBackend.opened(tmp_path)
    TemporaryBackend(tmp_path / "b")
    assert TemporaryBackend.opened(tmp_path / "b").url == f"file://{tmp_path / 'b' / 'state'}"
