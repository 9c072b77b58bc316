"""What can be wrong with outcomes and requests, as functions of the rows."""

import numpy as np

from workloads.loan_default.definition import LOAN_DEFAULT

ENTITY = LOAN_DEFAULT.keys[0]
LABEL = LOAN_DEFAULT.outcome.label
SEED = 42


def drifted(rows):
    return rows.assign(Income=rows["Income"] * 1.6, NumOpenAccounts=rows["NumOpenAccounts"] + 1)


def rng():
    return np.random.default_rng(SEED)


def flipped(share):
    return lambda f: f.assign(**{LABEL: np.where(rng().random(len(f)) < share, 1 - f[LABEL], f[LABEL])})


def permuted(share):
    def poison(f):
        lies = f[LABEL].sample(frac=share, random_state=SEED)
        truth = f[LABEL].copy()
        truth.loc[lies.index] = lies.sample(frac=1, random_state=SEED + 1).to_numpy()
        return f.assign(**{LABEL: truth})

    return poison


def written(outcome, chosen):
    """Everybody of a group gets the same outcome, whatever happened."""
    return lambda f: f.assign(**{LABEL: np.where(chosen(f), outcome, f[LABEL])})


def turned(chosen):
    """Everybody of a group gets the opposite outcome."""
    return lambda f: f.assign(**{LABEL: np.where(chosen(f), 1 - f[LABEL], f[LABEL])})


POISON = {
    "a tenth of the outcomes turned around": flipped(0.1),
    "a fifth turned around": flipped(0.2),
    "a third turned around": flipped(0.3),
    "half turned around": flipped(0.5),
    "all turned around": flipped(1.0),
    "outcomes of others for most": permuted(0.6),
    "outcomes of others for all": permuted(1.0),
    "everybody defaults": written(1, lambda f: f[ENTITY] > 0),
    "everybody pays": written(0, lambda f: f[ENTITY] > 0),
    "the young default": written(1, lambda f: f["Age"] < 28),
    "the rich default": written(1, lambda f: f["Income"] > f["Income"].quantile(0.9)),
    "the poor pay": written(0, lambda f: f["Income"] < f["Income"].quantile(0.4)),
    "low scores pay": written(0, lambda f: f["CreditScore"] < f["CreditScore"].quantile(0.2)),
    "the young are turned around": turned(lambda f: f["Age"] < 30),
    "the outcome leaks into the score": lambda f: f.assign(CreditScore=np.where(f[LABEL] == 1, 400, 700)),
    "the outcome leaks into the income": lambda f: f.assign(Income=f["Income"] + f[LABEL] * 1e6),
    "one score for all": lambda f: f.assign(CreditScore=680),
    "one income for all": lambda f: f.assign(Income=30_000.0),
    "scores of others": lambda f: f.assign(CreditScore=f["CreditScore"].sample(frac=1, random_state=SEED).to_numpy()),
    "women score badly": lambda f: f.assign(CreditScore=f["CreditScore"].where(f["SEX"] != 2, 320)),
}
