"""What the plugin raises. All are assertion failures to pytest: the program under test is at fault, not the plugin."""


class PulumiTestError(AssertionError):
    """Base of everything that the plugin raises about a program under test."""


class CheckError(PulumiTestError):
    """A program did something that a real engine refuses, or that bites later; see the list in the README."""


class HungError(PulumiTestError):
    """A program did not end within its time limit; the message says what it waits for."""


class UnknownInvokeError(PulumiTestError):
    """A program called a function of a provider, and the `pulumi_answers` fixture has no answer for it."""


class SelectionError(PulumiTestError):
    """A selector found nothing, or more than one; the message lists what there is."""


class GoldenError(PulumiTestError):
    """A graph differs from its golden text, or has none yet."""


class EngineError(PulumiTestError):
    """The Pulumi CLI refused or failed an operation; the message ends with what it printed."""
