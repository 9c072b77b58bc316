"""The Pulumi program: settings, platform, workloads, outputs."""

import pulumi

from stacks import composition, outputs, settings
from workloads.loan_default.component import LoanDefault, LoanDefaultArgs


def main() -> None:
    """Declare the stack."""
    try:
        chosen = settings.load()
        built, opts = composition.build(chosen, settings.stack_dir(pulumi.get_stack()))
    except settings.StackFileError as error:
        raise pulumi.RunError(str(error)) from None
    loan_default = LoanDefault("loan-default", LoanDefaultArgs(settings=chosen.loan_default, platform=built), opts)
    built.monitoring.start_alerting()
    outputs.export(built, loan_default)


main()
