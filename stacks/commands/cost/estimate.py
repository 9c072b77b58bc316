"""The estimate of a stack, from what `pulumi preview --json` prints."""

from stacks.commands.cost.graph import before_and_after
from stacks.commands.cost.prices import load
from stacks.commands.cost.pricing import lines
from stacks.commands.cost.report import Estimate
from stacks.commands.cost.shares import by_workload


def estimated(stack: str, told: str, base: str) -> Estimate:
    """What a stack costs after the preview that `told` is of, and before it if there is a base.

    Raises: PreviewError, PriceError.
    """
    prices = load()
    before, after = before_and_after(told)
    bill = lines(after, prices)
    return Estimate(
        stack=stack,
        prices=prices,
        lines=bill,
        region=after.region or "",
        workloads=by_workload(after, bill, prices),
        base=base,
        before=lines(before, prices) if base else (),
    )
