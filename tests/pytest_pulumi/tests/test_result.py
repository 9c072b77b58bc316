from pytest_pulumi.result import Result, Step


def test_steps_that_leave_a_resource_alone_are_no_changes():
    ops = ("same", "create", "read", "update", "refresh", "update")
    steps = tuple(Step(op, "fake:index:Bucket", f"b{number}", "", (), ()) for number, op in enumerate(ops))
    result = Result("preview", steps, diagnostics=(), violations=(), events=())
    assert [step.name for step in result.changes] == ["b1", "b3", "b5"]
    assert result.counts == {"create": 1, "update": 2}
