"""The release gate's verdicts on retraining windows of several sizes: honest rows, poisoned ones, and growing doses.

`python -m tests.unit.workloads.gate_matrix` continues where the last run ended, until it has every cell or its minutes
are over: each verdict is a line of a file outside the checkout. `--table` prints what is known. A dose is the share of
the window's rows that a poison changes. The candidate answers without a bundle, everything else is the gate's.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pandas as pd

from infra.base import paths
from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.settings import WorkloadSettings
from workloads.lifecycle.features.publication import TrainingSet, pull, read_offline
from workloads.lifecycle.ingestion.ingest import Ingested, ingest
from workloads.lifecycle.quality.measures import ranking
from workloads.lifecycle.training.train import fit, split
from workloads.lifecycle.validation import gate
from workloads.loan_default.definition import LOAN_DEFAULT

from . import servers
from .keys import TRUSTED
from .poisons import LABEL, POISON, drifted

ROWS = 30_000
PEOPLE = 120_000
"""Customers of whom windows are drawn."""

SIZES = (2_000, 5_000, 10_000, 30_000)
STEPS = 5
DOSES = (1.0, 0.5, 0.25, 0.1, 0.05)
HONEST = "honest"
KINDS = POISON | {
    "the outcome leaks faintly": lambda f: f.assign(CreditScore=f["CreditScore"] - 150 * f[LABEL]),
    "the outcome leaks into the accounts": lambda f: f.assign(NumOpenAccounts=f["NumOpenAccounts"] + 7 * f[LABEL]),
    "one age for all": lambda f: f.assign(Age=40),
    "half of the outcomes are lost": lambda f: f.assign(**{LABEL: f[LABEL].where(f.index % 2 == 0, 0)}),
}


class Fitted:
    """A model that answers as its bundle would, without the seconds that a bundle takes."""

    def __init__(self, model, data_hash):
        self._model = model
        self.manifest = SimpleNamespace(features=LOAN_DEFAULT.features, data_hash=data_hash)

    def inputs(self, columns):
        return self._model.matrix(columns)

    def score(self, matrix):
        return self._model.estimator.predict_proba(matrix)[:, 1]


class Loop:
    """A champion and its retrains, each by the windows' own checks and the gate."""

    def __init__(self, environment, ingested, base, people):
        self.environment, self.people = environment, people
        self._settings = environment.settings.training
        self._known = split(LOAN_DEFAULT, base, self._settings)
        self._data = TrainingSet(ingested, base, known=base)
        self._champion = Fitted(fit(LOAN_DEFAULT, self._known.train, self._settings), ingested.data_hash)

    def verdict(self, window):
        """The decision about a model of a window, with the reasons and the missing rows."""
        settings, scores = self.environment.settings.retraining, self._champion.score(self._champion.inputs(window))
        labels = window[LABEL].to_numpy()
        if len(set(labels)) == 1 or ranking("binary", labels, scores) < settings.min_champion_auc:
            return "refuse", ("the outcomes are not believed",), 0
        if abs(labels.mean() - scores.mean()) > settings.max_rate_gap:
            return "refuse", ("the outcomes are not believed",), 0
        parts = split(LOAN_DEFAULT, window, self._settings)
        candidate = Fitted(fit(LOAN_DEFAULT, parts.train, self._settings), self._data.ingested.data_hash)
        facts = gate.measure(
            LOAN_DEFAULT,
            parts,
            replace(self._data, frame=window),
            candidate,
            self._champion,
            known=self._known.test,
            champion_rows=len(self._known.train),
        )
        found = gate.decide(self.environment, facts | {"latency_p99_ms": 0.1})  # the stand-in is no bundle
        return found.decision, found.reasons, found.more_rows

    def drawn(self, rows, seed):
        """A window of so many customers."""
        order = np.random.default_rng(seed).permutation(len(self.people))
        return self.people.iloc[order[:rows]].reset_index(drop=True)

    def grown(self, rows, seed, change):
        """Verdicts of a window that grows by what each verdict asks for, and the last reasons."""
        verdicts = []
        for _ in range(STEPS):
            decision, reasons, more = self.verdict(change(self.drawn(rows, seed)))
            verdicts.append((rows, decision))
            if decision != "insufficient" or rows == len(self.people):
                break
            rows = min(rows + more, len(self.people))
        return verdicts, reasons


def dosed(poison, dose, seed):
    """A poison in a share of the rows."""

    def change(frame):
        hit = np.random.default_rng(seed + 1_000).random(len(frame)) < dose
        whole = poison(frame)
        return pd.DataFrame({name: whole[name].where(hit, frame[name]) for name in frame.columns})

    return change


class Matrix:
    """Verdicts by cell, kept line by line so that an interrupted run loses one."""

    def __init__(self, path):
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.found = {tuple(line["cell"]): line for line in map(json.loads, lines)}

    def run(self, loop, seeds, until):
        """Fill the cells, cheap and telling ones first, until the clock says `until`."""
        for kind, rows, dose, seed in cells(seeds):
            if (kind, rows, dose, seed) in self.found or self._is_settled(kind, rows, dose, seed):
                continue
            if time.time() > until:
                return
            begun = time.process_time()
            if kind == HONEST:
                verdicts, reasons = loop.grown(rows, seed, drifted)
            else:
                decision, reasons, _ = loop.verdict(dosed(KINDS[kind], dose, seed)(drifted(loop.drawn(rows, seed))))
                verdicts = [(rows, decision)]
            self._keep((kind, rows, dose, seed), verdicts, reasons, time.process_time() - begun)

    def _is_settled(self, kind, rows, dose, seed):
        """A smaller dose than one that was promoted is not tried."""
        larger = [self.found.get((kind, rows, each, seed)) for each in DOSES if each > dose]
        return any(line is not None and line["verdicts"][-1][1] == "promote" for line in larger)

    def _keep(self, cell, verdicts, reasons, cpu_seconds):
        line = {"cell": cell, "verdicts": verdicts, "reasons": list(reasons), "cpu_seconds": round(cpu_seconds, 2)}
        self.found[cell] = line
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def table(self):
        """Markdown: honest windows, poisoned ones, and the smallest dose that is refused at each size."""
        head = " | ".join(f"{rows:,} rows" for rows in SIZES)
        lines = [f"| honest retrains | {head} |", "|---|" + "---|" * len(SIZES)]
        honest = {rows: self._of(HONEST, rows) for rows in SIZES}
        for what, ends in (
            ("promoted at once", lambda verdicts: verdicts[0][1] == "promote"),
            ("not enough evidence, promoted once the window had grown", grew),
            ("not promoted", lambda verdicts: verdicts[-1][1] != "promote"),
        ):
            counts = [sum(map(ends, found)) for found in honest.values()]
            lines.append(f"| {what} | " + " | ".join(map(str, counts)) + " |")
        lines.append("| seeds | " + " | ".join(str(len(found)) for found in honest.values()) + " |")
        lines += ["", f"| poison | {head} |", "|---|" + "---|" * len(SIZES)]
        for kind in KINDS:
            lines.append(f"| {kind} | " + " | ".join(self._dose(kind, rows) for rows in SIZES) + " |")
        return "\n".join(lines)

    def poisoned(self):
        """Verdicts on whole poisoned windows, by size."""
        every = [(rows, end) for rows in SIZES for kind in KINDS for _, end in (v[-1] for v in self._of(kind, rows))]
        return {
            rows: {end: every.count((rows, end)) for end in ("refuse", "insufficient", "promote")} for rows in SIZES
        }

    def _of(self, kind, rows, dose=1.0):
        found = [
            line for (name, size, share, _), line in self.found.items() if (name, size, share) == (kind, rows, dose)
        ]
        return [line["verdicts"] for line in found]

    def _dose(self, kind, rows):
        """The smallest dose of which every seed was refused, with each larger one."""
        smallest = None
        for dose in DOSES:
            ends = [verdicts[-1][1] for verdicts in self._of(kind, rows, dose)]
            if not ends:
                break
            if set(ends) != {"refuse"}:
                return f"{ends[0] if smallest is None else f'{smallest:.0%}'}"
            smallest = dose
        return "not run" if smallest is None else f"{smallest:.0%}"


def grew(verdicts):
    """Whether rows were missing, and their verdict was a promotion."""
    return verdicts[0][1] == "insufficient" and verdicts[-1][1] == "promote"


def cells(seeds):
    """Kind, rows, dose and seed: first a few seeds of everything, then all of them."""
    few = min(10, seeds)
    yield from ((HONEST, rows, 1.0, seed) for seed in range(few) for rows in SIZES)
    yield from ((kind, rows, dose, 0) for dose in DOSES for rows in SIZES for kind in KINDS)
    for seed in range(1, seeds):
        yield from ((HONEST, rows, 1.0, seed) for rows in SIZES)
        yield from ((kind, rows, 1.0, seed) for rows in SIZES for kind in KINDS)


def prepared(folder):
    """The champion's rows and the customers of windows, made by the ingestion itself once and kept in a folder."""
    found = []
    for name, rows, seed in (("base", ROWS, 42), ("people", PEOPLE, 7)):
        if not (folder / f"{name}.json").exists():
            with TemporaryDirectory() as scratch:
                environment = of(Path(scratch), {"ingestion": {"generator_rows": rows, "generator_seed": seed}})
                run = ingest(environment)
                environment = environment.model_copy(update={"ingestion_run": run.run})
                pull(environment)
                folder.mkdir(parents=True, exist_ok=True)
                read_offline(environment).to_parquet(folder / f"{name}.parquet")
                (folder / f"{name}.json").write_text(run.model_dump_json())
        ingested = Ingested.model_validate_json((folder / f"{name}.json").read_text())
        found.append((ingested, pd.read_parquet(folder / f"{name}.parquet")))
    return found


def of(folder, settings, **places):
    """An environment of loan-default in a folder."""
    (folder / "work").mkdir(exist_ok=True)
    return Environment(
        workload="workloads.loan_default.definition:LOAN_DEFAULT",
        artifact_store_uri=f"file://{folder}/store",
        work_dir=folder / "work",
        settings=WorkloadSettings.model_validate(settings),
        **TRUSTED,
        **places,
    )


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.unit.workloads.gate_matrix", description=__doc__)
    parser.add_argument("--folder", type=Path, default=paths.state_dir() / "gate-matrix", help="(default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=600.0, help="after which no cell begins (default: 600)")
    parser.add_argument("--seeds", type=int, default=100, help="(default: 100)")
    parser.add_argument("--table", action="store_true", help="print what is known, and run nothing")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    matrix = Matrix(arguments.folder / "verdicts.jsonl")
    if not arguments.table:
        (base_run, base), (_, people) = prepared(arguments.folder)
        gate.latency_p99_ms = lambda *_: 0.1  # of a stand-in it says nothing
        with TemporaryDirectory() as scratch, servers.opa(Path(scratch)) as opa:
            loop = Loop(of(Path(scratch), {}, opa_url=opa), base_run, base, people)
            matrix.run(loop, arguments.seeds, time.time() + 60 * arguments.minutes)
    sys.stdout.write(f"{matrix.table()}\n\n{json.dumps(matrix.poisoned())}\n")


if __name__ == "__main__":
    main()
