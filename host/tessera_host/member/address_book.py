"""What a member does with a contact once they have met: in the book and in all that is kept of it, durably.

Owns that a change of a contact reaches every part of the state that names it.
"""

from .state import MemberState


def verify(state: MemberState, name: str) -> None:
    """Note that the six words were compared and are the same."""
    state.contacts.verify(name)
    state.save()


def remove(state: MemberState, name: str) -> None:
    """Forget a contact, its keys and what waits for it."""
    state.contacts.remove(name)
    state.outbox.drop(name)
    state.posted.drop(name)
    state.history.drop(name)
    state.save()


def rename(state: MemberState, name: str, new: str) -> None:
    """Give a contact another name, in everything that is kept."""
    state.contacts.rename(name, new)
    state.outbox.rename(name, new)
    state.posted.rename(name, new)
    state.inbox.rename(name, new)
    state.history.rename(name, new)
    state.save()


def block(state: MemberState, name: str, blocked: bool = True) -> None:
    """Ignore what a contact sends and let what is for it wait; with `blocked=False` read it again."""
    state.contacts.block(name, blocked)
    state.save()
