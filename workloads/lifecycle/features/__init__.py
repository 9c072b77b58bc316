"""Stage 2: the published features, offline and online.

Feast has typeguard rewrite its classes to check their arguments, which is most of the six seconds that its import
takes; mypy checks ours, so here they stay as they are.
"""

from typing import Any

import typeguard


def _as_it_is(target: Any = None, **_options: Any) -> Any:
    return _as_it_is if target is None else target


typeguard.typechecked = _as_it_is
