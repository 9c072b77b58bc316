"""The Pulumi program: reads the stack file, declares what it says."""

import pulumi

from stacks import composition, settings


def main() -> None:
    """Declare the stack."""
    try:
        composition.declare(settings.load(), settings.stack_dir(pulumi.get_stack()))
    except settings.StackFileError as error:
        raise pulumi.RunError(str(error)) from None


main()
