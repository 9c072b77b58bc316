"""Stand-ins for the official charts, of one object each, for where no chart repository can be reached."""

import io
import json
import tarfile
from pathlib import Path

from infra.kube import charts
from tests import edits

STAND_IN = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "{{ .Release.Name }}-stand-in"},
    "data": {"of": "{{ .Chart.Name }} {{ .Chart.Version }}"},
}


def write(folder: Path) -> None:
    """Put every chart, as an archive with one object, where a stack whose `supply.folder` this is looks for charts."""
    edits.mirror(folder)
    for chart in vars(charts).values():
        if not isinstance(chart, charts.Chart):
            continue
        about = {"apiVersion": "v2", "name": chart.name, "version": chart.version}
        with tarfile.open(folder / "charts" / chart.archive, "w:gz") as archive:
            for name, content in (("Chart.yaml", about), ("templates/stand-in.yaml", STAND_IN)):
                text = json.dumps(content).encode()
                entry = tarfile.TarInfo(f"{chart.name}/{name}")
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text))
