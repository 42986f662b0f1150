"""An entry of a journal: an event with the key of its step and the time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from resbuilder.run.events import (
    KINDS,
    RACE_ORIGINS,
    ArchitectureEvent,
    EntrantEvent,
    Event,
    MorphNetEvent,
    MorphNetStep,
)


@dataclass(frozen=True)
class UnknownEvent(Event):
    """An event of an unknown kind, which a later version may have written."""

    name: str
    content: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the fields unchanged."""
        return dict(self.content)


@dataclass(frozen=True)
class Entry:
    """A line of a journal: a finished step.

    Attributes:
        n: Number of the line, from 0.
        time: When it was written (ISO, UTC); empty if unknown.
        key: Key of the step, which is unique in the journal.
        event: The result of the step.
    """

    n: int
    time: str
    key: str
    event: Event

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the line."""
        head = {"n": self.n, "time": self.time, "event": self.event.name, "key": self.key}
        return head | self.event.to_json()

    @classmethod
    def from_json(cls, data: Any, n: int) -> Self:
        """Return the entry of a line.

        Args:
            data: The JSON value of the line.
            n: The number that the line should have.

        Raises:
            ValueError: If it is not an entry, has another number, or its event is invalid.
        """
        if not isinstance(data, dict) or not all(
            isinstance(data.get(name), str) for name in ("event", "key")
        ):
            raise ValueError('it must be an object with the strings "event" and "key"')
        number = data.get("n", n)
        if type(number) is not int or number != n:
            raise ValueError(f"its number is {number!r}, but should be {n}")
        if not isinstance(time := data.get("time", ""), str):
            raise ValueError(f"'time' must be text, got {repr(time)[:60]}")
        return cls(n, time, data["key"], _event(data["event"], data))


def _event(name: str, data: dict[str, Any]) -> Event:
    kind = KINDS.get(name)
    if kind is None:
        head = ("n", "time", "event", "key")
        return UnknownEvent(name, {k: v for k, v in data.items() if k not in head})
    if kind is MorphNetEvent and data.get("dead", "") is None:
        kind = MorphNetStep
    if kind is ArchitectureEvent and data.get("origin") in RACE_ORIGINS:
        kind = EntrantEvent
    return kind.from_json(data)
