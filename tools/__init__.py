"""The installer, the command-line environment and the small language host; nothing of the platform itself."""

import sys

# The system's Python runs this, which nobody has chosen yet: no syntax here that an old one cannot read.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.stderr.write("error: Python 3.11 or newer is needed, this is {}.{}: ".format(*sys.version_info))
    sys.stderr.write("install one and name it, as in `make up PYTHON=python3.12`\n")
    sys.exit(1)
