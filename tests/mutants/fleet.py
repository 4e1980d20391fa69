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
            "reader-stays-with-a-node-that-was-the-leader",
            "            await self._connection.leave_in_time()\n            await asyncio.sleep(_PAUSE_SECONDS)\n\n",
            "            await asyncio.sleep(_PAUSE_SECONDS)\n\n",
            of("nats_log", "node_that_goes_on_saying_that_the_log_is_shorter_is_left_for_another"),
        ),
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
        Change(
            "a-node-without-a-leader-is-believed",
            "        if state.peers and not state.leader:\n",
            "        if False:\n",
            of("nats_log", "what_a_node_without_a_leader_says_of_the_log_is_not_believed_and_it_is_left_for_another"),
        ),
    ),
    f"{_FLEET}/nats_connection.py": (
        Change(
            "password-is-sent-to-a-node-that-speaks-no-tls",
            "tls_handshake_first=self._tls is not None,",
            "tls_handshake_first=False,",
            of("nats_tls", "password_is_not_sent_where_somebody_took_tls_out"),
        ),
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
    f"{_FLEET}/replay.py": (
        Change(
            "log-may-go-on-at-another-position",
            "        if position != state.position + 1:\n",
            "        if False:\n",
            of("replay", "position_that_is_left_out_or_comes_again_is_noticed"),
        ),
        Change(
            "entry-may-stand-under-another-id",
            "        if entry.id != entry_id(entry.entry):\n",
            "        if False:\n",
            of("replay", "entry_under_an_id_that_is_not_its_own_is_noticed"),
        ),
        Change(
            "entry-of-an-ended-epoch-is-opened",
            "if clear.epoch < state.epoch or clear.gateway not in state.nodes:\n",
            "if clear.gateway not in state.nodes:\n",
            of("replay", "entry_that_comes_when_its_epoch_is_over_means_nothing_and_needs_no_key"),
        ),
        Change(
            "removed-gateway-may-write",
            "if clear.epoch < state.epoch or clear.gateway not in state.nodes:\n",
            "if clear.epoch < state.epoch:\n",
            of("replay", "removed_gateway_is_given_no_keys_and_what_it_writes_means_nothing"),
        ),
        Change(
            "newer-entries-are-read",
            "        if clear.version > VERSION:\n",
            "        if False:\n",
            of("replay", "entry_of_a_newer_program_stops_an_older_one_before_it_changes_anything"),
        ),
        Change(
            "entry-may-follow-what-is-not-there",
            "        if contents.last >= position:\n",
            "        if False:\n",
            of("replay", "what_is_refused_changes_nothing"),
        ),
        Change(
            "engine-may-double-an-entry-under-another-id",
            "        if state.has_counter(clear.gateway, clear.counter):\n",
            "        if False:\n",
            of("replay", "entry_that_is_doubled_at_the_end_of_the_log_is_noticed_at_once"),
        ),
        Change(
            "chains-are-not-compared",
            "        if chain != contents.chain:\n",
            "        if False:\n",
            of("replay", "entry_that_was_lost_doubled_swapped_or_changed_is_noticed"),
        ),
        Change(
            "gateway-forgets-what-it-told-others",
            "        if position == self._promised[0] and link != self._promised[1]:\n",
            "        if False:\n",
            of("replay", "gateway_that_starts_anew_takes_no_other_log_than_it_told_others_of"),
        ),
        Change(
            "places-without-end",
            " and len(state.places) >= state.rule.constant:\n",
            " and False:\n",
            of("replay", "only_c_tokens_have_a_place_in_an_epoch"),
        ),
        Change(
            "record-counts-twice-in-a-repaired-log",
            "        if frame.id in state.ids:\n",
            "        if False:\n",
            of("replay", "repaired_fleet_goes_on_in_another_log_and_takes_no_record_twice"),
        ),
        Change(
            "record-under-an-old-token-key-counts",
            "        if frame.name != state.token_hash[: frames.MARK_BYTES]:\n            return Reason.KEY\n",
            "        if False:\n            return Reason.KEY\n",
            of("replay", "after_a_token_key_nothing_is_posted_until_the_next_round_and_nothing_under_the_old_one"),
        ),
        Change(
            "record-may-count-in-another-round",
            "        if frame.round != state.open_round:\n",
            "        if False:\n",
            of("replay", "record_behind_the_seal_of_its_round_is_in_no_round"),
        ),
        Change(
            "records-count-in-the-round-of-a-token-key",
            "        if state.open_round < state.posting_from:\n",
            "        if False:\n",
            of("replay", "after_a_token_key_nothing_is_posted_until_the_next_round_and_nothing_under_the_old_one"),
        ),
        Change(
            "token-may-post-twice-in-a-round-at-two-gateways",
            "        if state.has_mark(state.open_round, frame.mark):\n",
            "        if False:\n",
            of("replay", "of_two_posts_of_a_token_at_two_gateways_one_counts"),
        ),
        Change(
            "epoch-may-have-more-records-than-the-ring",
            "if state.posted >= rule.ceiling or (",
            "if (",
            of("replay", "all_token_keys_of_an_epoch_together_give_no_more_records_than_the_ring_is_planned_for"),
        ),
        Change(
            "round-may-have-more-than-c-records",
            " or (rule.constant and len(state.open_marks) >= rule.constant):\n",
            ":\n",
            of("replay", "no_round_has_more_than_c_records_whatever_gateways_write"),
        ),
        Change(
            "second-token-key-for-the-next-epoch-counts",
            "state.epoch + 1 and not state.next_token_hash:\n",
            "state.epoch + 1:\n",
            of("replay", "first_token_key_named_for_the_next_epoch_is_its"),
        ),
        Change(
            "fastest-clock-rules",
            "reverse=True)[state.quorum - 1]\n        crosses",
            "reverse=True)[0]\n        crosses",
            of("replay", "one_clock_of_three_seals_nothing_and_two_open_the_round_of_the_slower"),
        ),
        Change(
            "epoch-opens-without-keys",
            "        if not crosses or self._ready():\n",
            "        if True:\n",
            of("replay", "next_epoch_opens_only_with_its_keys"),
        ),
        Change(
            "epoch-opens-with-keys-of-others",
            "self.state.next_epoch.names == self._names()\n\n",
            "True\n\n",
            of("replay", "keys_that_are_not_sealed_to_exactly_those_in_force_open_no_epoch"),
        ),
        Change(
            "marks-of-rounds-are-forgotten",
            "state.marks[state.open_round] = array(",
            "state.marks[-1] = array(",
            of("replay", "token_gets_exactly_its_quota_whichever_gateways_it_posts_at"),
        ),
        Change(
            "sealed-round-is-served-at-once",
            "while state.seals and state.seals[0][0] <= views[state.quorum - 1]:\n",
            "while state.seals:\n",
            of("replay", "engine_in_front_of_one_gateway_never_has_it_serve_another_batch"),
        ),
        Change(
            "own-word-is-enough",
            "<= views[state.quorum - 1]:\n",
            "<= views[0]:\n",
            of("replay", "engine_in_front_of_one_gateway_never_has_it_serve_another_batch"),
        ),
        Change(
            "second-keys-for-an-epoch-count",
            "keys.names == self._names() and not given:\n",
            "keys.names == self._names():\n",
            of("replay", "of_two_keys_for_an_epoch_the_first_counts"),
        ),
        Change(
            "last-gateway-may-go",
            " and len(state.nodes) > 1:\n",
            ":\n",
            of("replay", "last_gateway_cannot_be_removed_and_a_key_that_is_no_point_is_none"),
        ),
        Change(
            "set-governs-at-once",
            "max(taken.first_epoch, state.epoch + 1)\n",
            "taken.first_epoch\n",
            of("replay", "first_valid_set_counts_from_the_next_epoch_on"),
        ),
        Change(
            "what-stays-for-life-may-change",
            "head.serial <= newest.serial or not same or",
            "head.serial <= newest.serial or",
            of("replay", "first_valid_set_counts_from_the_next_epoch_on"),
        ),
        Change(
            "set-is-taken-unsigned",
            "            taken.verify()\n",
            "",
            of("replay", "set_of_another_relay_or_with_another_root_is_not_taken"),
        ),
        Change(
            "checkpoint-may-say-anything",
            "if closed == said and ours",
            "if ours",
            of("replay", "one_checkpoint_of_an_epoch_counts_if_it_says_what_is_so"),
        ),
        Change(
            "cover-key-is-disclosed-after-a-member",
            " and not flags & ADMITTED:\n",
            ":\n",
            of("replay", "after_the_first_member_no_cover_key_is_disclosed_and_before_it_only_of_kept_epochs"),
        ),
    ),
    f"{_FLEET}/state.py": (
        Change(
            "majority-is-half",
            "len(self.nodes) // 2 + 1\n",
            "len(self.nodes) // 2\n",
            of("replay", "one_clock_of_three_seals_nothing_and_two_open_the_round_of_the_slower"),
        ),
        Change(
            "late-token-key-gives-all-posts",
            "max(0, left) // rounds)",
            "rounds // rounds)",
            of("replay", "token_key_that_begins_late_gives_a_share_of_the_posts"),
        ),
        Change(
            "gateway-from-a-backup-writes",
            "        if newest >> _LIFE_BITS > lives or newest >= first:\n",
            "        if newest >= first:\n",
            of("replay", "gateway_with_a_storage_from_a_backup_does_not_begin"),
        ),
        Change(
            "counters-are-forgotten-early",
            "& (1 << SPAN) - 1",
            "& (1 << SPAN - 1) - 1",
            of("replay", "counters_are_remembered_as_far_as_gateways_have_entries_on_their_way"),
        ),
    ),
    f"{_FLEET}/keys.py": (
        Change(
            "given-cover-is-believed",
            "if cover.commitment(cover.cover_key(state)) != self.commitment or log_key_hash",
            "if log_key_hash",
            of("fleet_keys", "nobody_else_opens_an_epochs_keys"),
        ),
        Change(
            "node-secret-goes-too-early",
            "        del self.secrets[:place]\n",
            "        del self.secrets[:-1]\n",
            of("fleet_keys", "old_node_secret_stays_until_an_epoch_is_sealed_to_the_new_key"),
        ),
        Change(
            "log-key-outlives-its-epoch",
            "if each < epoch]",
            "if each < epoch - 1]",
            of("replay", "with_all_disks_in_hand_no_entry_of_an_ended_epoch_opens"),
        ),
        Change(
            "any-token-key-is-taken-over",
            "        if not equal(found.hash, hash_):\n",
            "        if False:\n",
            of("fleet_keys", "token_key_is_handed_over_to_who_has_both_secrets_and_is_the_one_that_the_log_names"),
        ),
    ),
    f"{_FLEET}/entry.py": (
        Change(
            "frames-stand-in-the-order-of-members",
            "sorted(contents.frames, key=lambda _: random(ID_BYTES))",
            "list(contents.frames)",
            of("entry", "order_of_frames_is_the_generators_and_nothing_else_is_random"),
        ),
    ),
    f"{_FLEET}/frames.py": (
        Change(
            "padding-may-say-something",
            "    if not found.fills(frame):\n",
            "    if False:\n",
            of("frames", "frame_with_something_in_its_padding_is_none"),
        ),
        Change(
            "object-without-a-piece-is-whole",
            "        if object_id(kind, content) == name:\n",
            "        if content:\n",
            of("frames", "object_is_whole_in_any_order_of_its_pieces_and_not_without_one"),
        ),
    ),
    f"{_FLEET}/gateway.py": (
        Change(
            "gateway-that-is-cut-off-takes-the-others-for-dead",
            "                self._deaf_ms = now\n",
            "                pass\n",
            of("gateway", "a_gateway_that_is_cut_off_replaces_no_token_key_that_others_have"),
        ),
        Change(
            "entry-vouches-for-a-seal-that-is-not-on-the-disk",
            "        if self._sealed_at > self._durable or self._duties.changed:\n",
            "        if self._duties.changed:\n",
            of("gateway", "what_an_entry_vouches_for_is_on_the_disk_before"),
        ),
        Change(
            "start-that-was-refused-counts",
            "starts - 1 if lives is None else lives)",
            "starts - 1)",
            of("gateway", "a_gateway_from_a_backup_never_begins_however_often_it_is_started"),
        ),
    ),
    f"{_FLEET}/relay.py": (
        Change(
            "record-that-the-ring-has-is-appended-again",
            "        if found and found[record]:\n",
            "        if False:\n",
            of("gateway", "what_was_acknowledged_survives_kills_at_every_point"),
        ),
        Change(
            "post-that-is-refused-leaves-no-frame",
            "        except Refusal as refusal:\n            self.writer.void(refusal)\n\n    def _mark(",
            "        except Refusal:\n            raise\n\n    def _mark(",
            of("gateway", "gateways_are_one_relay"),
        ),
        Change(
            "repetition-is-a-second-record",
            "        if session.repeats(state.open_round, session.prefix(bucket, record)):\n",
            "        if False:\n",
            of("gateway", "gateways_are_one_relay"),
        ),
        Change(
            "token-posts-past-its-quota",
            "        if not self.seat.posts_left(token, mark):\n",
            "        if False:\n",
            of("gateway", "gateways_are_one_relay"),
        ),
        Change(
            "clock-that-nothing-bore-out-votes",
            "        if not self._judged or self._clock.provisional:\n            return None\n",
            "        if not self._judged:\n            return None\n",
            of("gateway", "a_clock_that_is_far_on_after_a_stop_has_to_be_borne_out"),
        ),
        Change(
            "clock-of-one-gateway-bears-out-no-other",
            "self._opens(self._wanted())) <= 1:",
            "self._opens(self._wanted())) < 0:",
            of("gateway", "a_clock_that_one_gateway_is_sure_of_bears_out_those_that_say_the_same"),
        ),
        Change(
            "cell-that-is-damaged-is-served",
            "        if (round_, bucket) in self._damaged:\n",
            "        if False:\n",
            of("gateway", "a_cell_that_lost_a_record_is_not_served_until_another_gateway_gave_it"),
        ),
    ),
    f"{_FLEET}/duties.py": (
        Change(
            "node-key-is-kept-for-ever",
            "        if self._seat.keys.renewed < self._seat.state.epoch:\n",
            "        if False:\n",
            of("gateway", "epochs_turn_and_what_is_over_is_erased"),
        ),
        Change(
            "token-key-that-all-lost-is-never-replaced",
            "self.lost >= set(self._seat.others)",
            "False",
            of("gateway", "a_token_key_that_nobody_has_is_replaced"),
        ),
    ),
    f"{_FLEET}/seat.py": (
        Change(
            "old-node-secret-stays",
            "        self.secrets.sealed_to(name)\n",
            "",
            of("gateway", "epochs_turn_and_what_is_over_is_erased"),
        ),
        Change(
            "gateway-keeps-the-log-key-of-an-epoch-that-is-over",
            "        self.keys.log_keys.crossed(epoch)\n",
            "",
            of("gateway", "epochs_turn_and_what_is_over_is_erased"),
        ),
    ),
    f"{_FLEET}/writer.py": (
        Change(
            "whoever-is-to-be-admitted-asks-again-and-again",
            "_RETRY_SECONDS = 9\n",
            "_RETRY_SECONDS = 8\n",
            of("gateway", "without_a_log_whoever_is_to_be_admitted_is_told_so_in_ten_seconds"),
        ),
        Change(
            "any-number-of-frames-waits",
            "        if self.waiting >= MOST_WAITING:\n",
            "        if False:\n",
            of("gateway", "without_a_log_posts_are_busy_and_rounds_are_read"),
        ),
    ),
    f"{_FLEET}/join_codes.py": (
        Change(
            "join-code-is-good-for-any-number-of-gateways",
            'found.node_key not in (b"", node_key)',
            "False",
            of("exchange", "a_code_is_good_for_one_gateway_which_may_ask_again"),
        ),
        Change(
            "join-code-never-ends",
            "if each.until > now}",
            "if each.until}",
            of("exchange", "a_code_ends_after_its_time_and_with_the_process"),
        ),
        Change(
            "join-code-needs-no-secret-of-the-relay",
            "        return hkdf(static_secret, self.secret,",
            '        return hkdf(b"", self.secret,',
            of("exchange", "neither_the_code_nor_the_relays_secret_is_enough"),
        ),
    ),
    f"{_FLEET}/operated.py": (
        Change(
            "gateway-removes-itself",
            "        if number == self.number:\n",
            "        if False:\n",
            of("operated", "a_gateway_is_removed_by_another_one_and_says_so_of_itself"),
        ),
        Change(
            "status-with-something-behind-it-is-taken",
            " and found.pack() == content:\n",
            ":\n",
            of("operated", "what_is_no_status_is_refused"),
        ),
    ),
    f"{_FLEET}/repair.py": (
        Change(
            "repair-while-another-gateway-serves",
            "        if not status.fault:\n",
            "        if False:\n",
            of("operated", "a_repair_begins_from_the_gateway_that_is_furthest_and_only_there"),
        ),
        Change(
            "repair-from-a-gateway-that-has-less",
            "        if status.position > state.position:\n",
            "        if False:\n",
            of("operated", "a_repair_begins_from_the_gateway_that_is_furthest_and_only_there"),
        ),
        Change(
            "repair-though-there-were-two-logs",
            "        if state.chain_at(status.position) not in (None, status.chain):\n",
            "        if False:\n",
            of("operated", "a_repair_begins_from_the_gateway_that_is_furthest_and_only_there"),
        ),
        Change(
            "repair-into-a-log-that-was-used",
            "        if await log.last():\n",
            "        if False:\n",
            of("operated", "a_fleet_goes_on_in_another_log_with_all_that_was_acknowledged"),
        ),
        Change(
            "repaired-fleet-waits-for-gateways-that-are-not-there",
            "    again.nodes = {file.gateway: state.nodes[file.gateway]}\n",
            "",
            of("operated", "a_fleet_goes_on_in_another_log_with_all_that_was_acknowledged"),
        ),
    ),
}
