"""What a member writes: into the outbox and the list of what was sent, durably, before anything is posted.

Owns what may be written to whom, and that both lists are changed together.
"""

from ..errors import NotPermitted, UsageError
from ..protocol import records
from .history import Sent
from .state import MemberState


def queue(state: MemberState, contact: str, text: str) -> range:
    """Put a text into the outbox, durably, and return its message numbers. Raises UsageError or NotPermitted."""
    state.contacts.check_recipient(contact)
    if not text:
        raise UsageError("there is nothing to send: the text is empty", "give a text, --file, or standard input")
    parts = state.outbox.add(contact, text)
    state.history.add(contact, parts, state.now(), text)
    state.save()
    return range(parts[0].message, parts[-1].message + 1)


def queue_file(state: MemberState, contact: str, name: str, content: bytes) -> range:
    """Put a file into the outbox, durably, and return its message number. Raises InvalidInput if it does not fit into
    one message."""
    state.contacts.check_recipient(contact)
    parts = state.outbox.add_file(contact, name, content)
    state.history.add(contact, parts, state.now(), "", name, len(content))
    state.save()
    return range(parts[0].message, parts[-1].message + 1)


def records_of_file(name: str, content: bytes) -> int:
    """Count the records that a file takes. Raises InvalidInput if it does not fit into one message."""
    return len(records.split_file(name, content, 0))


def cancel(state: MemberState, contact: str, first: int) -> Sent:
    """Take back, durably, the parts of the message of this number that have not left, and return what the message was.
    Raises NotPermitted if all of it has left or, where there are copies, if any of it has."""
    found = next((each for each in sent(state, contact) if each.messages[0] == first and each.waiting), None)
    if found is None:
        raise NotPermitted("there is nothing to take back: all of it has left", "tessera sent shows what has left")
    if found.copies > 1 and (found.posted or found.sealed):
        raise NotPermitted(
            "it cannot be taken back: a part of it has left, or may have", "nothing to do: the rest leaves as well"
        )
    state.outbox.cancel(contact, found.messages)
    if found.posted or found.sealed:
        state.history.cancel(contact, first)
    else:
        state.outbox.close_gap(contact, found.messages)
        state.history.take_out(contact, first, len(found.messages))
    state.save()
    return found


def sent(state: MemberState, contact: str | None = None) -> list[Sent]:
    """List what was written, oldest first, and how far each message got."""
    copies, known = state.copies.at(), state.data.contacts.book

    def wanted(name: str) -> int:
        return len(copies.relays(name)) if name in known else 1  # a keystore of another's making may name anybody

    return state.history.entries(state.outbox.states(), contact, wanted)
