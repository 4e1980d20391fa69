"""Mutants of a fleet: what of an engine's word is not checked."""

from tests.mutants.mutant import Change, Changes, tests_in

of = tests_in("fleet")

_FLEET = "host/tessera_host/fleet"
_REFUSED = of("nats_settings", "engine_that_is_set_up_otherwise_is_refused_with_the_line_to_write")

CHANGES: Changes = {
    f"{_FLEET}/log.py": (
        Change(
            "engine-may-leave-out-positions",
            "        if position != self.next:\n",
            "        if position < self.next:\n",
            of("log", "only_the_next_position_is_taken"),
        ),
        Change(
            "engine-may-go-back",
            "        if position != self.next:\n",
            "        if position > self.next:\n",
            of("log", "only_the_next_position_is_taken"),
        ),
        Change(
            "engine-may-double-an-entry",
            "        if id in self._places:\n",
            "        if False:\n",
            of("log", "id_stands_at_one_position"),
        ),
        Change(
            "engine-may-show-another-entry-than-it-acknowledged",
            "        if self._promised.pop(position, id) != id:\n",
            "        if False:\n",
            of("log", "what_was_acknowledged_has_to_be_shown_there"),
        ),
        Change(
            "late-acknowledgement-is-believed",
            "        elif position >= self.next - len(self._places) and self._places.get(id) != position:\n",
            "        elif False:\n",
            of("log", "acknowledgement_that_comes_after_its_entry_is_compared_with_it"),
        ),
        Change(
            "engine-may-acknowledge-two-entries-at-a-position",
            "            if self._promised.setdefault(position, id) != id:\n",
            "            if self._promised.setdefault(position, id) == b'':\n",
            of("log", "two_entries_are_not_acknowledged_at_one_position"),
        ),
        Change(
            "engine-may-lose-the-end-of-the-log",
            "        if last < self.next - 1:\n",
            "        if False:\n",
            of("log", "log_does_not_end_before_what_was_read"),
        ),
        Change(
            "follower-that-is-late-skips-what-was-trimmed",
            "        if self._began:\n",
            "        if False:\n",
            of("log", "what_was_trimmed_is_passed_over_at_the_beginning_only"),
        ),
        Change(
            "ids-are-remembered-for-ever",
            "        if len(self._places) > _REMEMBERED:\n",
            "        if False:\n",
            of("log", "ids_are_known_for_long_and_not_for_ever"),
        ),
    ),
    f"{_FLEET}/sqlite_log.py": (
        Change(
            "any-relay-may-use-a-log",
            '        if self._connection.execute("SELECT relay FROM owner").fetchall() != [(relay,)]:\n',
            "        if False:\n",
            of("sqlite_log"),
        ),
        Change(
            "trimmed-entries-stay-in-the-log-of-changes",
            '            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # it would keep them\n',
            "",
            of("sqlite_log", "what_was_trimmed_is_nowhere_in_its_files"),
        ),
        Change(
            "a-failed-commit-is-left-open",
            '            self._connection.execute("ROLLBACK")\n',
            "            pass\n",
            of("sqlite_log", "commit_that_fails_is_taken_back_whole"),
        ),
    ),
    f"{_FLEET}/nats_log.py": (
        Change(
            "what-did-not-arrive-is-a-loss",
            "                if place.consumer != delivered:\n",
            "                if False:\n",
            of("nats_log", "what_does_not_arrive_is_asked_for_again"),
        ),
        Change(
            "a-new-leader-is-given-no-time",
            "(state.last >= order.next - 1 or now() > end)",
            "True",
            of("nats_log", "leader_that_does_not_know_the_end_yet_is_given_time"),
        ),
        Change(
            "an-old-id-is-appended-without-a-look",
            "        if now - since < configuration.WINDOW_SECONDS / 2:\n",
            "        if since <= now:\n",
            of("nats_log", "id_that_the_engine_forgot_is_looked_for_before_it_is_appended_again"),
        ),
    ),
    f"{_FLEET}/nats_connection.py": (
        Change(
            "a-cancellation-may-be-lost",
            "        if task and task.cancelling() > before:\n",
            "        if False:\n",
            of("nats_log", "cancellation_that_the_client_swallows_is_not_lost"),
        ),
    ),
    f"{_FLEET}/nats_configuration.py": (
        Change(
            "a-node-may-acknowledge-before-its-disk-has-it",
            '    if not settings.get("sync_always"):\n',
            "    if False:\n",
            _REFUSED,
        ),
        Change(
            "a-node-may-be-too-old",
            "< LEAST_VERSION:\n",
            "< (2, 9):\n",
            of("nats_settings", "older_version_is_refused"),
        ),
        Change(
            "a-stream-may-acknowledge-before-a-disk-has-it",
            '    if found.get("persist_mode", "default") not in ("", "default"):\n',
            "    if False:\n",
            of("nats_settings", "stream_that_is_otherwise_is_refused"),
        ),
        Change(
            "a-log-may-be-on-one-node",
            '    if found.get("num_replicas", 1) < wanted["num_replicas"]:\n',
            "    if False:\n",
            of("nats_settings", "stream_that_is_otherwise_is_refused"),
        ),
    ),
}
