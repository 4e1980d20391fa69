"""Whether a contact was given the settings that this member was given (PROTOCOL §7, "Views").

Owns which set's digest a member names for an epoch, the memory of the sets it held, the views of contacts that match
none of them yet, and when such a view is an alarm. How a view is made is `records`' business, what is said of an
alarm the commands'.

An issuer could sign several sets and give each member its own. Two contacts notice, as every message says, to the two
of them alone, what its sender holds. Honest members hold different sets, too, for a while: whoever is behind, and
whoever was away while a set came and went. No alarm may come of that, so what an honest sender can have held is worked
out here from serials and first epochs alone.
"""

from ..errors import IntegrityError
from ..protocol import records
from ..protocol.federation import Federation
from ..protocol.records import Closing
from .schema import Contact, KnownSet, OpenView, SplitView

KEPT_VIEWS = 32  # a contact: more of them are of the same few epochs and say the same


def alarm(contact: str) -> IntegrityError:
    """What is said of a contact with a split view, and what to do."""
    return IntegrityError(
        f"your contact {contact} was given different settings from yours: the issuer's key has signed "
        "two different sets",
        "both of you type tessera status and compare the digests by voice; if they differ, trust "
        "neither and tell the data-protection officer and IT; if they agree: tessera contact rekey "
        f"{contact}",
    )


class Views:
    """A view of the keystore's list of sets, oldest first, and of what contacts said that fits none."""

    def __init__(self, known: list[KnownSet], contacts: dict[str, Contact], federation: Federation) -> None:
        self._known = known
        self._contacts = contacts
        self._federation = federation
        self._note()

    # -- the sets that were held

    def digest_for(self, epoch: int) -> bytes:
        """The digest (32 bytes) of the set that governs an epoch, as far as this member can know: the newest that has
        begun by then, but the newest of all where a set between the two was never held, which may govern it."""
        newest = self._known[-1]
        begun = [each for each in self._known if each.first_epoch <= epoch]
        if not begun:
            return newest.digest
        missed = newest.serial - begun[-1].serial - (len(self._known) - 1 - self._known.index(begun[-1]))
        return newest.digest if missed else begun[-1].digest

    def _note(self) -> None:
        """Remember what the federation accepts now. Serials only grow."""
        last = self._known[-1].serial if self._known else 0
        for each in self._federation.sets:
            if each.serial > last:
                self._known.append(KnownSet(each.digest, int(each.serial), int(each.first_epoch), int(each.ahead)))

    def _is_used(self, serial: int, ahead: int, epoch: int) -> bool:
        """Whether somebody honest may post in an epoch who holds the set of this serial and none after it: for `ahead`
        epochs a member has tokens without a visit to the issuer, and a visit brings the newest set."""
        following = [each.first_epoch for each in self._known if each.serial > serial]
        return not following or epoch < min(following) + ahead

    def _forget_sets(self, epoch: int) -> None:
        """Those that no record which can still be read in this epoch was posted under."""
        kept = int(self._federation.newest.retention_epochs)
        first = max(0, epoch - kept)
        self._known[:] = [each for each in self._known if self._is_used(each.serial, each.ahead, first)]

    # -- what contacts said

    def saw(self, name: str, closing: Closing, epoch: int) -> None:
        """Take what a contact's message, whose signature is valid, says of its settings; it was read in this epoch.
        Call it once for each message."""
        contact = self._contacts[name]
        found = OpenView(closing.epoch, closing.seed, closing.view, epoch, None)
        if contact.split is None and len(contact.views) < KEPT_VIEWS and not self._fits(found):
            contact.views.append(found)

    def look(self, epoch: int) -> None:
        """Look again at the views that matched no set: a set may have been taken meanwhile, or the time may be over.
        `epoch` is the newest that a relay has named; time in which no relay is reached does not count."""
        self._note()
        for contact in self._contacts.values():
            for each in contact.views:
                if each.reached is None and epoch > each.read:
                    each.reached = epoch
            contact.views = [each for each in contact.views if not self._fits(each)]
            over = [each for each in contact.views if each.reached is not None and epoch > each.reached]
            split = [each.epoch for each in over if not self._is_another_unknown(each.epoch)]
            contact.views = [each for each in contact.views if each not in over]
            if split and contact.split is None:
                contact.split, contact.views = SplitView(min(split), False), []
        self._forget_sets(epoch)

    def untold(self) -> list[str]:
        """List the contacts with an alarm that was never told, and note that it now is."""
        alarms = {name: contact.split for name, contact in self._contacts.items() if contact.split}
        new = {name: split for name, split in alarms.items() if not split.told}
        for split in new.values():
            split.told = True
        return sorted(new)

    def _fits(self, found: OpenView) -> bool:
        """Whether it is of a set that was held here and may be used in its epoch by somebody who is behind, or who
        holds one that has not begun and no other."""
        used = (each for each in self._known if self._is_used(each.serial, each.ahead, found.epoch))
        return any(records.view(found.seed, each.digest) == found.view for each in used)

    def _is_another_unknown(self, epoch: int) -> bool:
        """Whether a set that was never held here may be used in the epoch by somebody who is behind: one between two
        that were held, or before the first of them. What it let members have is not known: as much as the one after it,
        at least."""
        serials = {each.serial for each in self._known}
        gaps = (each for each in self._known if each.serial > 1 and each.serial - 1 not in serials)
        return any(self._is_used(after.serial - 1, after.ahead, epoch) for after in gaps)
