"""What can go wrong with equipment, named by what the operator does next."""

from __future__ import annotations


class DriverError(Exception):
    """Base of every refusal of a driver. The text says which equipment, what is wrong and what to do."""


class DriverConfigError(DriverError):
    """The configuration of an equipment or a binding is wrong: correct the key it names.

    Attributes:
        key: The key in the equipment's or the binding's table, ``host`` or ``port``.
    """

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key


class EquipmentUnreachable(DriverError):  # noqa: N818 - a state of the world, not a fault of the program
    """Nothing answers at the address: check cable, address and power of the equipment."""


class EquipmentRefused(DriverError):  # noqa: N818
    """The equipment answers but does not allow it: check the credentials and their rights."""


class UnknownPort(DriverError):  # noqa: N818
    """The equipment has no such port, outlet or line: check the binding."""


class DriverTimeout(DriverError):  # noqa: N818
    """The equipment took longer than its deadline: look at the equipment, it may hang."""


class DidNotHappen(DriverError):  # noqa: N818
    """The equipment agreed, but reading back shows that it did not do it: look at the port."""
