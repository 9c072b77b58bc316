import string

import pulumi
import pytest

from simulated_pulumi.providers import Planned, Random

random = pytest.importorskip("pulumi_random", reason="pulumi-random is not installed")


def compute(cls, **inputs):
    return Random().compute(Planned(f"urn:pulumi:test::project::random:index/{cls}:{cls}::it", inputs))


def test_a_password_has_its_length_and_classes():
    drawn = compute("RandomPassword", length=20, special=False, minNumeric=8, upper=False)["result"]
    assert len(drawn) == 20
    assert set(drawn) <= set(string.ascii_lowercase + string.digits)
    assert sum(sign.isdigit() for sign in drawn) >= 8


def test_draws_are_the_same_for_the_same_resource():
    assert compute("RandomPassword", length=20) == compute("RandomPassword", length=20)
    assert compute("RandomPassword", length=20) != compute("RandomPassword", length=20, keepers={"a": "b"})


def test_an_integer_lies_in_its_range():
    assert 3 <= compute("RandomInteger", min=3, max=5)["result"] <= 5


def test_an_id_is_the_same_in_all_its_forms():
    drawn = compute("RandomId", byteLength=4)
    assert int(drawn["hex"], 16) == int(drawn["dec"])


@pytest.mark.engine
def test_every_kind_comes_up_converges_and_is_replaced_by_new_keepers(pulumi_stack):
    def program(keeper):
        def run():
            options = pulumi.ResourceOptions(provider=random.Provider("main"))
            common = {"keepers": {"a": keeper}, "opts": options}
            random.RandomBytes("bytes", length=8, **common)
            random.RandomId("id", byte_length=8, **common)
            random.RandomInteger("integer", min=1, max=9, **common)
            random.RandomInteger("twin", min=1, max=1, **common)
            random.RandomInteger("twin2", min=1, max=1, **common)
            pulumi.export("password", random.RandomPassword("password", length=9, **common).result)
            random.RandomPassword("longer", length=12, **common)
            random.RandomPet("pet", **common)
            random.RandomShuffle("shuffle", inputs=["a", "b"], **common)
            random.RandomString("string", length=9, **common)
            random.RandomUuid("uuid", **common)

        return run

    stack = pulumi_stack(program("1"), providers=[Random()])
    up = stack.up()
    assert up.secret_outputs == {"password"}
    stack.assert_no_changes()
    assert stack.refresh().counts == {}
    stack.program = program("2")
    assert stack.preview().counts == {"create-replacement": 11, "delete-replaced": 11, "replace": 11}
