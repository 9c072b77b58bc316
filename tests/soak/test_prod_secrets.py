"""Secrets are planted over the whole prod stack: none is plain in what its commands write and print.

Planted are the passwords that the stack draws, the secret of the login's client in the stack file, what Secrets make of
them, and credentials in the commands' environment; each also in base64 and in hex. AWS and the cluster are simulated.
"""

import json
import sys

import pytest
from simulated_pulumi.providers import Aws, Kubernetes, Random

from stacks.commands import simulated
from tests import prod, secrets

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

LOGIN = "planted-secret-of-the-logins-client"
CREDENTIALS = {
    name: f"planted {name.lower()}"
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GITHUB_TOKEN", "KUBE_TOKEN", "MLPLATFORM_TEST_SECRET")
}
# Of the engine's events those are left out that nobody is shown: the SDK's debug messages, which hold secret values.
COMMANDS = """
exec > "$OUT/said.txt" 2>&1
pulumi config set --secret mlplatform:login_client_secret "$LOGIN"
PULUMI_DEBUG_COMMANDS=true pulumi up --yes --skip-preview --non-interactive --diff --event-log "$SHOWN.events"
grep -v '"severity":"debug"' "$SHOWN.events" > "$OUT/events.jsonl"
pulumi refresh --yes --non-interactive --diff
pulumi preview --non-interactive --diff
pulumi stack output --json > "$OUT/outputs.json"
pulumi stack export > "$OUT/state.json"
"$PYTHON" -m stacks.commands.review --stack prod --reports "$OUT/review"
pulumi config set --secret mlplatform:login_client_secret "$LOGIN-2"
pulumi preview --non-interactive --diff --json > "$OUT/preview.json"
cp -r "${PULUMI_BACKEND_URL#file://}" "$OUT/backend"
pulumi stack export --show-secrets > "$SHOWN"
"""


def test_no_planted_secret_is_plain_in_output_of_commands_about_prod(tmp_path, monkeypatch, pulumi_cli):
    del pulumi_cli  # fails or skips where there is none
    cloud, cluster, randomness = Aws(), Kubernetes(), Random()
    for name, provider in (("Aws", cloud), ("Kubernetes", cluster), ("Random", randomness)):
        monkeypatch.setattr(simulated, name, lambda provider=provider: provider)
    out, shown = tmp_path / "out", tmp_path / "shown.json"
    out.mkdir()
    for name, value in {
        **CREDENTIALS,
        "OUT": str(out),
        "SHOWN": str(shown),
        "LOGIN": LOGIN,
        "PYTHON": sys.executable,
    }.items():
        monkeypatch.setenv(name, value)
    code = simulated.main(["--stack", prod.NAME, "--", "sh", "-euc", COMMANDS])
    assert code == 0, (out / "said.txt").read_text()[-4000:]

    planted = secrets.planted(randomness, cluster, LOGIN, *CREDENTIALS.values())
    assert len(planted) >= 30
    assert (out / "events.jsonl").read_text().count("resourcePreEvent") > 500
    held = {text for text in planted if text in json.dumps(json.loads(shown.read_text()))}
    assert {LOGIN, *secrets.drawn(randomness)} <= held
    assert {"review.md", "preview.json", "policy.json", "cost.json"} <= {
        path.name for path in (out / "review").iterdir()
    }
    assert secrets.leaks(planted, secrets.files(out), secrets.objects(cloud, cluster)) == set()
