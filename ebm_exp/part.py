"""What a config may build; a module without torch, for loggers need none."""

from typing import ClassVar, Literal


class Part:
    """Marks a class that a config may name in ``_target_``, also one that came from elsewhere with a run.

    Its constructor is called with whatever stands there: it must not run code that its arguments name, nor write or
    fetch anything that a user did not ask for (``config.run_config.SIDE_EFFECTS``).

    Attributes:
        requires: data of two levels, or data of more, where it is for such alone; others are refused when it is built.
        suggests: its node may hold ``suggest``, values for nodes of other parts, and ``stand_in``, what is built
            instead of it where its files are missing.
    """

    requires: ClassVar[Literal["binary", "continuous"] | None] = None
    suggests: bool = False
