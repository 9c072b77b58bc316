"""`python -m workloads.lifecycle.retraining.release`: one release, for which retrains wait."""

import argparse
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from workloads.lifecycle.base.command import quiet_libraries
from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import WorkloadError, cause, run_command
from workloads.lifecycle.pipelines import outcome as outcomes
from workloads.lifecycle.pipelines.release import Promote, release
from workloads.lifecycle.registry.audit import Journal
from workloads.lifecycle.registry.audit_entry import Action
from workloads.lifecycle.registry.versions import register_signed


@contextmanager
def alone(environment: Environment) -> Iterator[Promote | None]:
    """Keep retrains away while a release runs, by their ledger; gives the promotion that the ledger records.

    Where versions are challengers first, the version is handed to the retraining service, and the champion stays.
    None without `RETRAIN_DATABASE`: there is no ledger.
    """
    if not environment.retrain_database:
        yield None
        return
    from workloads.lifecycle.retraining.champion import ChampionAlias, MlflowRegistry  # noqa: PLC0415  a second of imports
    from workloads.lifecycle.retraining.database import LeaseLostError  # noqa: PLC0415
    from workloads.lifecycle.retraining.ledger import Ledger  # noqa: PLC0415

    seconds = environment.settings.deployment.retrain_wait_seconds
    with (
        closing(Ledger(environment.retrain_database)) as ledger,
        ledger.release(seconds, lambda text: print(text, flush=True)) as place,
    ):

        def promote(run_id: str) -> str:
            version = register_signed(environment, run_id)
            takeover, champion = environment.settings.release, MlflowRegistry(environment).champion()
            try:
                if takeover.mode != "direct" and champion not in {None, version}:
                    ledger.hand_over(place, version, str(champion))
                    print(
                        f"version {version} is the challenger of version {champion}, which serves on; the retraining "
                        f"service decides within {takeover.seconds:.0f} s ({takeover.mode})",
                        flush=True,
                    )
                    return str(champion)
                return ChampionAlias(environment, ledger).promote(place, version)
            except LeaseLostError as error:
                raise WorkloadError(
                    f"this release stood still for too long, and another one or a retrain began; version {version} was "
                    "not promoted, release again"
                ) from error

        yield promote


def main() -> None:
    """Command: release the current data's model."""
    argparse.ArgumentParser(prog="python -m workloads.lifecycle.retraining.release", description=__doc__).parse_args()
    quiet_libraries()
    environment = load()
    started = time.perf_counter()
    journal = Journal(environment)
    try:
        with alone(environment) as promote:
            release(environment, promote)
    except BaseException as error:
        outcome = outcomes.StageOutcome.of_error("release", error).ended
        journal.record(Action.RELEASE, environment.data or "generated data", outcome, cause(error))
        raise
    journal.record(Action.RELEASE, environment.data or "generated data", "done")
    print(f"released in {time.perf_counter() - started:.1f} s", flush=True)


if __name__ == "__main__":
    run_command(main)
