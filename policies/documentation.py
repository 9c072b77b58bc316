"""`docs/policies.md`: what people need to know about policies, with the table of rules made from their metadata."""

import json
from pathlib import Path

from policies.catalogue import FOLDER, ReleaseRule, all_rules, release_rules
from policies.rule import RegoMetadata

FILE = FOLDER.parent / "docs" / "policies.md"
MARK = "<!-- rules: made by `python -m policies docs`, do not edit below -->"


def text(file: Path = FILE) -> str:
    """The document with its table as it should be now."""
    head = file.read_text().partition(MARK)[0]
    lines = ["| rule | what holds | severity | where | controls | parameters |", "|---|---|---|---|---|---|"]
    for rule in [*all_rules().values(), *release_rules().values()]:
        metadata = rule.metadata
        controls = "; ".join(f"{name} {controls}" for name, controls in metadata.frameworks.items())
        where, parameters = "release" if isinstance(rule, ReleaseRule) else "preview", ""
        if isinstance(metadata, RegoMetadata):
            where = f"preview, CI, {'audit' if metadata.admission == 'audit' else 'admission'}"
            parameters = ", ".join(f"`{name}` {json.dumps(value)}" for name, value in metadata.parameters.items())
        title = f"[{metadata.title}]({metadata.link.removeprefix('docs/')})"
        lines.append(f"| {rule.id} | {title} | {metadata.severity} | {where} | {controls} | {parameters} |")
    return head + MARK + "\n\n" + "\n".join(lines) + "\n"
