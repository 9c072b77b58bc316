"""`python airflow_health.py URL PART`: exits with 0 while Airflow reports a part, e.g. `scheduler`, as healthy.

By its path and with the standard library alone: Airflow's own `airflow jobs check` costs 3 s of CPU each time.
"""

import json
import sys
import urllib.request

TIMEOUT_SECONDS = 8.0


def main(url: str, part: str) -> int:
    """Ask once; prints what the server reports."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/api/v2/monitor/health", timeout=TIMEOUT_SECONDS) as answer:
            status = json.load(answer)[part]["status"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.stdout.write(f"{url} does not report the {part}: {error}\n")
        return 1
    sys.stdout.write(f"{part}: {status}\n")
    return 0 if status == "healthy" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
