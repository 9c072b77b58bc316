import pytest

from tests.aws import ANSWERS, Outputs


@pytest.fixture
def pulumi_answers():
    return ANSWERS


@pytest.fixture
def pulumi_outputs(pulumi_outputs):
    return Outputs(pulumi_outputs)
