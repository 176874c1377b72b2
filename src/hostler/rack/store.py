"""What a rack must not forget: every keeper's memory, in a file of the rack's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy
from pydantic import TypeAdapter
from sqlalchemy.dialects.sqlite import insert

from hostler.link.group_commit import GroupCommit, sqlite_engine, storing
from hostler.model.keeper_view import Memory

if TYPE_CHECKING:
    from pathlib import Path

_metadata = sqlalchemy.MetaData()
_memories = sqlalchemy.Table(
    "memories",
    _metadata,
    sqlalchemy.Column("board", sqlalchemy.String, primary_key=True),
    sqlalchemy.Column("memory", sqlalchemy.String, nullable=False),
)
_MEMORY = TypeAdapter(Memory)
_MOVE_AWAY = (
    "make room if the disk is full; else put it back from a backup, or move it away: then runs that are "
    "under way begin again"
)


class RackStore:
    """Memories by board; what ``keep`` was awaited for survives ``kill -9``.

    Every method and the constructor raise StorageError when the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with storing(path, _MOVE_AWAY):
            engine = sqlite_engine(path)
            with engine.begin() as connection:
                _metadata.create_all(connection)
                rows = connection.execute(sqlalchemy.select(_memories)).all()
            self._memories = {row.board: _MEMORY.validate_json(row.memory) for row in rows}
        self._writer = GroupCommit(engine)

    def memory(self, board: str) -> Memory:
        """Return what was kept of a board; an empty memory for a new one."""
        return self._memories.get(board, Memory())

    async def keep(self, board: str, memory: Memory) -> None:
        """Replace a board's memory; durable when it returns."""
        text = _MEMORY.dump_json(memory).decode()
        row = insert(_memories).values(board=board, memory=text)
        statement = row.on_conflict_do_update(index_elements=["board"], set_={"memory": text})
        with storing(self._path):
            await self._writer.write(lambda connection: connection.execute(statement) and None)
        self._memories[board] = memory

    async def forget(self, board: str) -> None:
        """Forget a board that was taken out of the inventory."""
        self._memories.pop(board, None)
        statement = _memories.delete().where(_memories.c.board == board)
        with storing(self._path):
            await self._writer.write(lambda connection: connection.execute(statement) and None)

    def close(self) -> None:
        """Write what is waiting and close the file."""
        self._writer.close()
