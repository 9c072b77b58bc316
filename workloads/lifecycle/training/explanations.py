"""The model as an XGBoost booster, beside its ONNX twin: TreeSHAP needs the trees, which ONNX hides in one operator.

XGBoost's own model is saved as it is. scikit-learn's trees are written down node by node in XGBoost's format, so that
one library explains both, without training anything again. Leaves out the explaining itself: `serving.explainer`.
Sources: https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html,
https://xgboost.readthedocs.io/en/stable/prediction.html (`pred_contribs`)
"""

import json
from typing import TYPE_CHECKING, Any

from workloads.lifecycle.base.errors import DataError
from workloads.lifecycle.thresholds import Problem
from workloads.lifecycle.training import estimators

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FORMAT = "ubj"
_NO_PARENT = 2**31 - 1
_LEAF = -1
_ROOT_OUTPUT = 0
SUM_LIMIT = 1e-4
"""Largest difference between the sum of contributions, through the logistic function where the problem is binary, and
the model's answer, as a share of the range of outcomes: sums of float32 numbers."""


def booster(model: Any) -> bytes:
    """A fitted estimator as a booster whose margin is the log-odds or, of a regression, the outcome."""
    import xgboost  # noqa: PLC0415  a second of imports

    if estimators.is_xgboost(model):
        saved = model.get_booster().save_raw(FORMAT)
    else:
        made = xgboost.Booster()
        made.load_model(bytearray(json.dumps(_converted(model)).encode()))
        saved = made.save_raw(FORMAT)
    return bytes(saved)


def contributions(content: bytes, rows: "npt.NDArray[np.float32]") -> "npt.NDArray[np.float32]":
    """Contribution of each feature to each row's margin, and in the last column the baseline; one thread."""
    return explain(load(content), rows)


def load(content: bytes) -> Any:
    """A booster that explains on one thread."""
    import xgboost  # noqa: PLC0415

    made = xgboost.Booster({"nthread": 1})
    made.load_model(bytearray(content))
    return made


def explain(made: Any, rows: "npt.NDArray[np.float32]") -> "npt.NDArray[np.float32]":
    """As `contributions`, of a loaded booster."""
    import xgboost  # noqa: PLC0415

    found: npt.NDArray[np.float32] = made.predict(xgboost.DMatrix(rows, nthread=1), pred_contribs=True)
    return found


def check(content: bytes, problem: Problem, rows: "npt.NDArray[np.float32]", answers: "npt.NDArray[Any]") -> None:
    """Compare sums of contributions with the twin's answers, given as shares of the range of outcomes.

    Raises DataError when they differ by more than `SUM_LIMIT`; nothing is logged then.
    """
    import numpy as np  # noqa: PLC0415

    sums = contributions(content, rows).astype(np.float64).sum(axis=1)
    explained = 1 / (1 + np.exp(-sums)) if problem == "binary" else sums
    gap = float(np.abs(explained - answers).max(initial=0))
    limit = SUM_LIMIT if problem == "binary" else SUM_LIMIT * max(1.0, float(np.abs(answers).max(initial=0)))
    if gap > limit:
        raise DataError(f"explanations differ from the model's answers by {gap:.2e}, allowed {limit:.0e}")


def _converted(model: Any) -> dict[str, Any]:
    """scikit-learn's gradient boosting in XGBoost's JSON; an imputer in front of it becomes "missing goes left"."""
    import numpy as np  # noqa: PLC0415

    boosted = model[-1] if hasattr(model, "steps") else model
    features = int(boosted.n_features_in_)
    base = float(boosted._raw_predict_init(np.zeros((1, features)))[0, _ROOT_OUTPUT])  # noqa: SLF001  no public name
    trees = [
        _tree(number, stage[0].tree_, boosted.learning_rate, features)
        for number, stage in enumerate(boosted.estimators_)
    ]
    count = len(trees)
    return {
        "learner": {
            "attributes": {},
            "feature_names": [],
            "feature_types": [],
            "gradient_booster": {
                "model": {
                    "cats": {"enc": [], "feature_segments": [], "sorted_idx": []},
                    "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(count)},
                    "iteration_indptr": list(range(count + 1)),
                    "tree_info": [0] * count,
                    "trees": trees,
                },
                "name": "gbtree",
            },
            "learner_model_param": {
                "base_score": f"[{base:.9E}]",
                "boost_from_average": "1",
                "num_class": "0",
                "num_feature": str(features),
                "num_target": "1",
            },
            "objective": {"name": "reg:squarederror", "reg_loss_param": {"scale_pos_weight": "1"}},
        },
        "version": [3, 2, 0],
    }


def _tree(number: int, tree: Any, rate: float, features: int) -> dict[str, Any]:
    """One tree, breadth first, because XGBoost's TreeSHAP takes a right child to stand behind the left one.

    scikit-learn goes left at `x <= t`, XGBoost at `x < c`: c is the next float32 above t.
    """
    import numpy as np  # noqa: PLC0415

    order, parents = _breadth_first(tree)
    place = np.empty(len(order), dtype=int)
    place[order] = np.arange(len(order))
    is_leaf = (tree.children_left == _LEAF)[order]
    left, right = (
        np.where(is_leaf, _LEAF, place[children[order]]) for children in (tree.children_left, tree.children_right)
    )
    threshold = tree.threshold[order]
    rounded = threshold.astype(np.float32)
    below = np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    conditions = np.nextafter(below.astype(np.float32), np.float32(np.inf))
    values = (tree.value[order, 0, 0] * rate).astype(np.float32)
    nodes = len(order)
    return {
        "base_weights": values.tolist(),
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "default_left": [1] * nodes,
        "id": number,
        "left_children": left.tolist(),
        "loss_changes": [0.0] * nodes,
        "parents": parents,
        "right_children": right.tolist(),
        "split_conditions": np.where(is_leaf, values, conditions).astype(float).tolist(),
        "split_indices": np.where(is_leaf, 0, tree.feature[order]).tolist(),
        "split_type": [0] * nodes,
        "sum_hessian": tree.weighted_n_node_samples[order].astype(float).tolist(),
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(features),
            "num_nodes": str(nodes),
            "size_leaf_vector": "1",
        },
    }


def _breadth_first(tree: Any) -> tuple[list[int], list[int]]:
    """A tree's nodes level by level, and the place of each one's parent among them."""
    order, parents = [0], [_NO_PARENT]
    for place, node in enumerate(order):  # grows while it is read
        if tree.children_left[node] != _LEAF:
            order += [int(tree.children_left[node]), int(tree.children_right[node])]
            parents += [place, place]
    return order, parents
