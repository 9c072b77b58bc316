"""The estimate as text and as JSON, of one stack or of what an update would change."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stacks.commands.cost.prices import Prices
from stacks.commands.cost.pricing import Line
from stacks.commands.cost.shares import Money, total

REVISION_CHARACTERS = 12
"""Of a revision that an estimate is compared with; words such as `what is deployed` are shown whole."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A stack's bill after an update, and before it where that was asked for."""

    stack: str

    prices: Prices

    lines: Sequence[Line]

    region: str = ""
    """Where the stack is; empty for none. In another region than the prices' the amounts are a guide."""

    base: str = ""
    """What it is compared with; empty for nothing."""

    before: Sequence[Line] = ()

    workloads: Mapping[str, Money] = field(default_factory=dict)
    """Workload -> its part of the bill, and the rest as `shared`."""


def by_role(lines: Sequence[Line]) -> dict[str, Money]:
    """Sum of each role's lines."""
    return {role: total([each for each in lines if each.role == role]) for role in sorted({x.role for x in lines})}


def unconfirmed(estimate: Estimate) -> float:
    """Share of the expected total that rests on prices which nobody confirmed: all of it in another region."""
    if _is_elsewhere(estimate):
        return 1.0
    open_ = [x for x in estimate.lines if not all(estimate.prices.sources[each].confirmed for each in x.sources)]
    whole = total(estimate.lines)[0]
    return total(open_)[0] / whole if whole else 0.0


def notes(estimate: Estimate) -> list[str]:
    """What the sum leaves out, by the resource's name, and of which region the prices are."""
    prices = estimate.prices
    elsewhere = (
        [f"NOTE: the stack is in {estimate.region}; amounts are those of {prices.region}, as a guide"]
        if _is_elsewhere(estimate)
        else []
    )
    return elsewhere + [f"NOTE: {each.name} is not in the sum: {each.note}" for each in estimate.lines if each.note]


def _is_elsewhere(estimate: Estimate) -> bool:
    return estimate.region not in ("", estimate.prices.region)


def as_text(estimate: Estimate) -> str:
    """For a terminal."""
    prices, usage = estimate.prices, estimate.prices.usage
    now, then = by_role(estimate.lines), by_role(estimate.before)
    rows = [(role, now.get(role, (0.0, 0.0)), then.get(role, (0.0, 0.0))) for role in sorted({*now, *then})]
    rows.append(("total", total(estimate.lines), total(estimate.before)))
    title = f"{estimate.stack}: US dollars a month in {prices.region}, without tax"
    header = f"{'role':<24}{'expected':>12}{'worst case':>12}"
    if estimate.base:
        title += f"; the difference is to {estimate.base}"
        header += f"{'difference':>14}{'worst case':>12}"
    table = [
        f"{role:<24}{money[0]:>12,.2f}{money[1]:>12,.2f}"
        + (f"{money[0] - old[0]:>+14,.2f}{money[1] - old[1]:>+12,.2f}" if estimate.base else "")
        for role, money, old in rows
    ]
    return "\n".join(
        [
            title,
            "",
            header,
            *table,
            "",
            *notes(estimate),
            *_of_workloads(estimate),
            (
                f"Expected: CPU pools at {usage.cpu_pool_share:.0%} of their limits and GPU pools at "
                f"{usage.gpu_pool_share:.0%}, spot at {usage.spot_price_share:.0%} of the on-demand price."
            ),
            "Worst case: every pool at its limit all month, on demand, and storage grown to its limit.",
            (
                f"Prices nobody confirmed make up {unconfirmed(estimate):.0%} of what is expected; "
                "prices, sources and all assumptions: stacks/commands/cost/prices.yaml"
            ),
            "",
        ]
    )


def _of_workloads(estimate: Estimate) -> list[str]:
    """Each workload's part of the bill, and what they share."""
    if not (estimate.workloads and estimate.lines):
        return []
    rows = [f"{name:<24}{money[0]:>12,.2f}{money[1]:>12,.2f}" for name, money in estimate.workloads.items()]
    note = (
        "A workload's part: its own resources, and its servers' share of the CPU nodes by what they reserve.\n"
        "The nodes of jobs are shared, as a preview does not say how long jobs run."
    )
    return [f"{'by workload':<24}{'expected':>12}{'worst case':>12}", *rows, "", note]


def monthly(estimate: Estimate) -> str:
    """The total in a few words, with the difference where there is something to compare with."""
    expected, worst = total(estimate.lines)
    told = f"{expected:,.0f} USD a month, at most {worst:,.0f}"
    if missing := len(notes(estimate)):
        told += f" ({missing} note(s) on prices)"
    if not estimate.base:
        return told
    base = estimate.base if " " in estimate.base else estimate.base[:REVISION_CHARACTERS]
    return f"{told} ({expected - total(estimate.before)[0]:+,.0f} USD against {base})"


def as_json(estimate: Estimate) -> str:
    """For machines: totals, roles, lines, and the difference."""
    now, then = total(estimate.lines), total(estimate.before)
    roles = {role: _money(money) for role, money in by_role(estimate.lines).items()}
    told = {
        "stack": estimate.stack,
        "region": estimate.prices.region,
        "unit": "US dollars a month, without tax",
        "total": _money(now),
        "roles": roles,
        "workloads": {name: _money(money) for name, money in estimate.workloads.items()},
        "unconfirmed_share": round(unconfirmed(estimate), 3),
        "notes": notes(estimate),
        "lines": [
            {
                "role": each.role,
                "name": each.name,
                "what": each.what,
                **_money((each.expected, each.worst)),
                "sources": sorted(each.sources),
            }
            for each in estimate.lines
        ],
    }
    if estimate.base:
        told["base"] = estimate.base
        told["before"] = _money(then)
        told["difference"] = _money((now[0] - then[0], now[1] - then[1]))
    return json.dumps(told, indent=1) + "\n"


def _money(money: Money) -> dict[str, float]:
    return {"expected": round(money[0], 2), "worst": round(money[1], 2)}
