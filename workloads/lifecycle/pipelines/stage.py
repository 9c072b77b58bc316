"""One stage as a command, for CronJobs, Airflow, Dagster and KFP: `… NAME --run=ID --<input>=VALUE …`.

The answer, which the stages behind it take, is the last line of the output; the outcome lies in the artifact store.
With `--print-outcome` it is printed as well, for a parent that does not read the store.
Attempts of the same stage of the same run replace each other's outcome.
"""

import argparse
import sys
from collections.abc import Sequence

from workloads.lifecycle.base import identifiers
from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import WorkloadError, run_command
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.pipelines import outcome, stages
from workloads.lifecycle.pipelines.outcome import StageOutcome


def command(arguments: Sequence[str]) -> str:
    """Run the stage that a command line names, in this process's environment; returns its answer.

    Raises what the stage raises.
    """
    given = vars(_parser().parse_args(arguments))
    environment = load()
    if given["workload"]:
        environment = environment.model_copy(update={"workload": given["workload"]})
    run = identifiers.run_id(given["run"] or outcome.new_run(environment.definition.name), "run")
    stage = stages.named(given["stage"])
    try:
        outcome.forget(Store.open(environment), run, stage.name)
    except WorkloadError as error:
        print(f"an earlier outcome of stage {stage.name} may remain: {error}", flush=True)
    print(f"stage {stage.name} begins, run {run}", flush=True)
    keep = _keep_and_say if given["print_outcome"] else outcome.keep
    done = stages.run(stage, stages.Session(environment), given, run, keep)
    print(f"{stage.name}: {done.says}", flush=True)
    return done.answer


def _keep_and_say(environment: Environment, run: str, left: StageOutcome) -> None:
    outcome.say(left)
    outcome.keep(environment, run, left)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workloads.lifecycle.pipelines.stage", description=__doc__)
    each = parser.add_subparsers(dest="stage", required=True, metavar="NAME")
    for stage in stages.STAGES:
        own = each.add_parser(stage.name)
        own.add_argument("--run", default="", help="id of the run that the stage belongs to (default: a new one)")
        own.add_argument("--workload", default="", help="definition, `module:NAME` (default: $WORKLOAD)")
        own.add_argument("--print-outcome", action="store_true", help="print the outcome as one line of JSON as well")
        for name in stage.inputs:
            own.add_argument(f"--{name.replace('_', '-')}", default="", required=name not in stages.ARGUMENTS)
    return parser


def main() -> None:
    """Command: run one stage and print its answer."""
    print(command(sys.argv[1:]))


if __name__ == "__main__":
    run_command(main)
