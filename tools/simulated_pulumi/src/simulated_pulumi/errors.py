"""What a run raises about a program. All are assertion failures to pytest: the program under test is at fault."""


class PulumiTestError(AssertionError):
    """Base of everything that is raised about a program under test."""


class CheckError(PulumiTestError):
    """A program did something that a real engine refuses, or that fails later; the README lists the checks."""


class HungError(PulumiTestError):
    """A program did not end within its time limit; the message names what it waits for."""


class UnknownInvokeError(PulumiTestError):
    """A program called a function of a provider, and `Facts.answers` has no answer for it."""


class SelectionError(PulumiTestError):
    """A selector found nothing, or more than one; the message lists what there is."""
