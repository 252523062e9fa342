"""What people say about a checkpoint: a label and a pin, in a file beside it, since a checkpoint never changes."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from streaming.checkpoints.durable import Files, write_durably


class Note(BaseModel):
    """A label for people; pinned: kept for ever."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str | None = None
    pinned: bool = False


def read_note(path: Path) -> Note:
    """The note in a file; an empty one if there is no file.

    An unreadable one counts as pinned: it said something, and until it is said again nothing is removed.
    """
    try:
        return Note.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Note()
    except (OSError, ValidationError):
        return Note(pinned=True)


def write_note(path: Path, note: Note, files: Files) -> None:
    """Put a note into its file. Raises OSError.

    A worker that begins just now cleans temporaries away, this one, too; then it is written again.
    """
    content = note.model_dump_json().encode()
    try:
        write_durably(path, content, files)
    except FileNotFoundError:
        write_durably(path, content, files)
