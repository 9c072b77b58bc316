import pytest

from infra.base.phases import Collected, LateRegistrationError


def test_what_was_registered_is_given_in_its_order():
    grants = Collected("a grant", "the policy")
    for each in ("b", "a"):
        grants.add(each)
    assert grants.close() == ("b", "a")


def test_a_late_registration_names_what_came_too_late_for_what():
    grants = Collected("a grant", "the policy")
    grants.close()
    with pytest.raises(LateRegistrationError, match="a grant was registered after the policy was built: register it"):
        grants.add("a")
    assert grants.close() == ()
