"""Mutants of the relay's core: what it stores before it answers, whom it believes, what it erases, what it never uses
twice."""

from tests.mutants.mutant import Change, Changes, tests_in

of = tests_in("core")

_FIXED = '("federation_id", "root_key", "genesis", "round_seconds", "epoch_rounds", "retention_epochs")'


def _changeable(name: str) -> Change:
    """A pushed set may change this."""
    return Change(
        f"push-changes-{name.replace('_', '-')}",
        _FIXED,
        _FIXED.replace(f'"{name}"', '"round_seconds"' if name != "round_seconds" else '"genesis"'),
        of("parameterstore", "what_rounds_and_trust_rest_on_is_never_changed_by_a_push"),
    )


CHANGES: Changes = {
    "firmware/tessera/parameterstore.py": (
        *(
            _changeable(name)
            for name in ("federation_id", "root_key", "genesis", "round_seconds", "epoch_rounds", "retention_epochs")
        ),
        Change(
            "push-of-the-same-serial",
            "if head.serial <= self.newest.serial:",
            "if head.serial < self.newest.serial:",
            of("parameterstore", "an_old_set_and_the_same_again_are_refused"),
        ),
        Change(
            "push-into-the-open-epoch",
            "max(new.parameters.first_epoch, open_epoch + 1)",
            "new.parameters.first_epoch",
            of("parameterstore", "a_late_set_takes_effect_with_the_next_epoch"),
        ),
        Change(
            "set-counts-before-it-is-durable",
            "        self._write(rules, self._former or rules[-2].parameters.access_key)\n"
            "        self._rules = rules\n",
            "        self._rules = rules\n"
            "        self._write(rules, self._former or rules[-2].parameters.access_key)\n",
            of("parameterstore", "a_cut_leaves_the_sets_as_they_were"),
        ),
        Change(
            "former-access-key-is-forgotten",
            "                    self._former = rule.parameters.access_key\n",
            "                    pass\n",
            of("parameterstore", "the_newest_access_key_and_the_one_before_are_accepted_and_one_is_listed_once"),
        ),
        Change(
            "third-table-waits-an-epoch-too-long",
            "rules[start + 1].first <= first_kept:",
            "rules[start + 1].first < first_kept:",
            of("parameterstore", "a_third_table_waits_until_the_first_is_not_kept_any_more"),
        ),
        Change(
            "third-table-waits-for-nothing",
            "while self._tables is not None and self._tables_beside(new, epoch) > self._tables:",
            "while False:",
            of("parameterstore", "a_third_table_waits_until_the_first_is_not_kept_any_more"),
        ),
        Change(
            "old-set-governs-the-first-epoch-of-the-new",
            "            if rule.first <= epoch:\n                return rule\n",
            "            if rule.first < epoch:\n                return rule\n",
            of("parameterstore", "each_set_governs_its_own_epochs"),
        ),
        Change(
            "unsigned-set-is-believed",
            "        parameters.verify()\n        self._check_capacity(parameters)\n",
            "        self._check_capacity(parameters)\n",
            of("parameterstore", "a_set_that_is_not_signed_or_altered_behind_its_signature_is_refused"),
        ),
        Change(
            "set-without-this-relay-is-believed",
            "        if entry is None:\n",
            "        if False:\n",
            of("relay", "a_relay_that_is_not_in_the_parameters_does_not_start"),
        ),
        Change(
            "set-without-room-is-believed",
            "        self._check_capacity(parameters)\n        entry",
            "        entry",
            of("relay", "parameters_too_large_for_the_ring_are_refused"),
        ),
        Change(
            "set-with-another-relays-column-is-believed",
            "if parameters.length != parameters.size(1) or parameters.column(entry.id) is None:",
            "if False:",
            of("parameterstore", "a_set_without_the_relays_own_columns_is_refused"),
        ),
        Change(
            "push-of-any-length",
            "if total != head.size(1) or total > MOST_RELAY_BYTES:",
            "if total > MOST_RELAY_BYTES:",
            of("push", "the_first_chunk_has_240_bytes_and_its_total_follows_from_them"),
        ),
        Change(
            "pending-set-stays-beside-a-later-one",
            "[rule for rule in self._rules if rule.first <= open_epoch] + [new]",
            "self._rules + [new]",
            of("parameterstore", "a_set_not_yet_in_force_is_replaced_and_the_one_in_force_stays"),
        ),
        Change(
            "equal-tables-are-kept-twice",
            "            rule.thresholds = tables[tables.index(rule.thresholds)]\n",
            "            pass\n",
            of("parameterstore", "equal_tables_are_kept_once"),
        ),
        Change(
            "set-that-was-given-up-stays-in-memory",
            "                rule.parameters = rule.reading_key = None\n",
            "                pass\n",
            of("parameterstore", "equal_tables_are_kept_once"),
        ),
    ),
    "firmware/tessera/epochs.py": (
        Change(
            "epoch-that-opens-again-has-no-ciphers",
            "        self._follow_keyring()  # also",
            "        pass  # also",
            of("relay_clock", "an_epoch_that_opened_though_the_old_keys_do_not_erase_is_served_when_they_do"),
        ),
        Change(
            "cover-ratchet-without-fresh-randomness",
            "cover.next_state(state, fresh)",
            "cover.next_state(state, bytes(32))",
            of("relay", "an_epochs_cover_follows_from_the_one_before_and_from_fresh_randomness"),
        ),
        Change(
            "cover-ratchet-not-chained",
            "return fresh if state is None else cover.next_state(state, fresh)",
            "return fresh",
            of("relay", "an_epochs_cover_follows_from_the_one_before_and_from_fresh_randomness"),
        ),
        Change(
            "page-keys-of-two-epochs-alike",
            "made[new] = (self._generator.random(32), state)",
            "made[new] = (kept[newest][0] if kept else self._generator.random(32), state)",
            of("relay", "an_epochs_cover_follows_from_the_one_before_and_from_fresh_randomness"),
        ),
        Change(
            "keys-kept-an-epoch-too-long",
            "        first = max(0, epoch - parameters.retention_epochs)\n        kept",
            "        first = max(0, epoch - parameters.retention_epochs - 1)\n        kept",
            of("relay", "expired_epochs_are_not_served_and_their_keys_are_gone_from_flash"),
        ),
        Change(
            "expired-keys-stay-in-memory",
            "for epoch in [epoch for epoch in self.ciphers if epoch not in keys]:",
            "for epoch in []:",
            of("relay", "expired_epochs_are_not_served_and_their_keys_are_gone_from_flash"),
        ),
        Change(
            "no-checkpoint-of-an-epoch-that-is-over",
            "            self._close(max(keyring.epochs))\n",
            "            pass\n",
            of("relay", "checkpoints_are_signed_and_chained_one_an_epoch"),
        ),
        Change(
            "first-round-kept-is-one-epoch-too-early",
            "return max(0, self.epoch - parameters.retention_epochs) * parameters.epoch_rounds",
            "return max(0, self.epoch - parameters.retention_epochs - 1) * parameters.epoch_rounds",
            of("relay", "expired_epochs_are_not_served_and_their_keys_are_gone_from_flash"),
        ),
        Change(
            "cover-of-the-newest-set-for-every-epoch",
            "            rule = self._parameters.rule(epoch)\n            self._covers",
            "            rule = self._parameters.rule(1 << 30)\n            self._covers",
            of("constant", "the_kind_changes_from_one_set_to_the_next_and_kept_cells_stay"),
        ),
        Change(
            "checkpoint-names-the-newest-set",
            "            self._parameters.rule(epoch).digest,\n",
            "            self._parameters.newest.digest,\n",
            of("push", "checkpoints_name_the_set_that_governed_their_epoch"),
        ),
        Change(
            "tokens-of-a-new-set-wait-for-the-next-turn",
            "        if self.epoch is not None and self._rule is not",
            "        if False and self._rule is not",
            of("relay_clock", "a_set_that_came_under_a_provisional_clock_admits_its_own_tokens"),
        ),
    ),
    "firmware/tessera/rounds.py": (
        Change(
            "rounds-go-back-behind-the-last-seal",
            "return max(self.sealed_next, self._log.highest_round)",
            "return max(0, self._log.highest_round)",
            of("relay_clock", "rounds_never_go_back"),
        ),
        Change(
            "doubtful-page-stays-over-a-seal",
            "            self._log.void_doubtful()\n",
            "",
            of("relay", "a_record_that_an_error_left_on_flash_is_in_no_batch_of_its_round"),
        ),
        Change(
            "seal-is-not-durable",
            "            self._keyring.mark(open_round, self._keyring.sealed_count + in_time)\n",
            "",
            of(
                "relay_clock",
                "rounds_never_go_back",
                "a_clock_before_genesis_or_before_the_last_seal_is_refused_wherever_it_is_set",
            ),
        ),
        Change(
            "rounds-missed-while-off-count-as-sealed",
            "self._seal(open_round, self.open_round is not None)",
            "self._seal(open_round, True)",
            of("relay", "rounds_missed_while_off_are_not_counted_as_sealed"),
        ),
        Change(
            "clock-far-ahead-is-believed-at-once",
            "self._clock.provisional = not soon",
            "self._clock.provisional = False",
            of("relay_clock", "a_forged_time_writes_nothing_and_gives_way_to_the_true_one"),
        ),
        Change(
            "clock-three-rounds-ahead-is-believed",
            "_ROUNDS_OF_A_START = const(1)",
            "_ROUNDS_OF_A_START = const(3)",
            of("relay_clock", "a_start_within_a_round_of_the_last_seal_is_not_provisional"),
        ),
        Change(
            "clock-before-the-last-seal-is-possible",
            "round_ = max(0, self.sealed_next - 1)",
            "round_ = 0",
            of("relay_clock", "a_clock_before_genesis_or_before_the_last_seal_is_refused_wherever_it_is_set"),
        ),
        Change(
            "clock-is-believed-after-half-an-epoch",
            "epoch_ms = 1000 * parameters.round_seconds",
            "epoch_ms = 500 * parameters.round_seconds",
            of("relay_clock", "keys_past_retention_go_when_the_clock_is_borne_out_and_not_before"),
        ),
        Change(
            "token-of-any-epoch-bears-out-a-clock",
            "return epoch <= last + (1 if lived else 0)",
            "return True",
            of("relay_clock", "a_token_of_the_next_epoch_bears_out_a_clock_and_none_that_was_issued_further_ahead"),
        ),
        Change(
            "token-two-epochs-ahead-bears-out-a-clock",
            "return epoch <= last + (1 if lived else 0)",
            "return epoch <= last + (2 if lived else 0)",
            of("relay_clock", "a_token_of_the_next_epoch_bears_out_a_clock_and_none_that_was_issued_further_ahead"),
        ),
        Change(
            "first-set-says-nothing-of-the-time",
            "return epoch <= self._parameters.rule(last).parameters.first_epoch + 1",
            "return True",
            of("relay_clock", "a_relay_that_never_sealed_is_borne_out_in_the_epoch_after_its_first_one_at_the_latest"),
        ),
        Change(
            "token-bears-out-start-after-start",
            "return epoch <= last + (1 if lived else 0)",
            "return epoch <= last + 1",
            of("relay_clock", "start_after_start_takes_no_relay_from_epoch_to_epoch"),
        ),
        Change(
            "old-statement-bears-out-a-clock",
            "self._stated = age <= parameters.round_seconds * parameters.epoch_rounds",
            "self._stated = True",
            of("relay_clock", "a_time_statement_bears_out_a_clock_that_it_is_behind_of_by_an_epoch_at_most"),
        ),
        Change(
            "time-after-the-last-round-is-possible",
            "        self._clock.not_after(1000 * (parameters.genesis + _LAST_ROUND * parameters.round_seconds))\n",
            "",
            of("relay_clock", "a_time_whose_round_the_record_log_cannot_keep_is_refused"),
        ),
        Change(
            "unsealed-rounds-are-sealed-under-a-provisional-clock",
            "            if self._clock.provisional:\n                self._epochs.begin_admission",
            "            if False:\n                self._epochs.begin_admission",
            of("relay_clock", "under_a_provisional_clock_sealed_rounds_are_served_and_nothing_new_is_sealed"),
        ),
    ),
    "firmware/tessera/relay.py": (
        Change(
            "post-is-stored-before-the-quota-is-looked-at",
            "            self._epochs.admission.reserve(session.token)\n"
            "            session.token.round = self.open_round  # before anything is programmed\n"
            "            self._log.append(self.open_round, bucket, record, self._epochs.ciphers[self.epoch])\n",
            "            session.token.round = self.open_round\n"
            "            self._log.append(self.open_round, bucket, record, self._epochs.ciphers[self.epoch])\n"
            "            self._epochs.admission.reserve(session.token)\n",
            of("relay", "a_refused_post_stores_nothing"),
        ),
        Change(
            "post-is-not-charged",
            "            self._epochs.admission.charge(session.token)\n",
            "",
            of("relay", "quota_is_per_token_across_sessions_and_restarts"),
        ),
        Change(
            "post-is-acknowledged-and-not-stored",
            "            self._log.append(self.open_round, bucket, record, self._epochs.ciphers[self.epoch])\n",
            "",
            of("relay", "posted_records_appear_once_in_the_round_the_ack_named"),
        ),
        Change(
            "repeated-post-is-stored-again",
            "            session.remember(prefix)\n",
            "",
            of("relay", "a_repeated_post_counts_once_in_its_session_and_round_only"),
        ),
        Change(
            "post-to-one-bucket-too-many",
            "if bucket >= self.parameters.rule(self.epoch).buckets:",
            "if bucket > self.parameters.rule(self.epoch).buckets:",
            of("relay", "a_refused_post_stores_nothing"),
        ),
        Change(
            "fetch-of-no-round",
            "not 0 < end - start <= wire.FETCH_ROUNDS",
            "not 0 <= end - start <= wire.FETCH_ROUNDS",
            of("relay", "fetch_arguments_are_checked"),
        ),
        Change(
            "fetch-of-a-round-too-many",
            "not 0 < end - start <= wire.FETCH_ROUNDS",
            "not 0 < end - start <= wire.FETCH_ROUNDS + 1",
            of("relay", "fetch_arguments_are_checked"),
        ),
        Change(
            "open-round-is-served",
            "end = max(start, min(end, self._rounds.sealed_next))",
            "end = max(start, min(end, self._rounds.sealed_next + 1))",
            of("relay", "the_open_round_is_not_served"),
        ),
        Change(
            "expired-round-is-no-error",
            "        if start < self.first_round:\n            raise TooOld",
            "        if False:\n            raise TooOld",
            of("relay", "expired_epochs_are_not_served_and_their_keys_are_gone_from_flash"),
            alive="epochs.batch() refuses the same rounds with the same answer, before anything of them is served",
        ),
        Change(
            "token-outlives-its-epoch",
            "if session.token is None or session.epoch != self.epoch:",
            "if session.token is None:",
            of("relay", "tokens_and_resumptions_end_with_their_epoch"),
        ),
        Change(
            "fetch-without-the-reading-key",
            "        self._require_reader(session, proof)\n",
            "",
            of("relay", "nobody_posts_without_a_token_nor_reads_without_the_reading_key"),
        ),
        Change(
            "fetch-by-the-newest-reading-key",
            "self.parameters.rule(self.epoch).reading_key",
            "self.parameters.rule(1 << 30).reading_key",
            of("push", "pushed_parameters_take_effect_with_their_epoch_and_keep_served_cover"),
        ),
        Change(
            "post-without-a-token",
            "        self._require_admitted(session)\n        if bucket",
            "        if bucket",
            of("relay", "a_refused_post_stores_nothing"),
        ),
        Change(
            "code-comes-from-anybody",
            '        if not session.operator:\n            raise NotAdmitted("new code',
            '        if False:\n            raise NotAdmitted("new code',
            of("staging", "only_the_operator_may_stage_and_only_where_there_is_a_place"),
        ),
        Change(
            "members-are-admitted-to-a-disclosed-epoch",
            "        if self._keyring.commissioned == self.epoch:\n            raise NotReady",
            "        if False:\n            raise NotReady",
            of("relay", "in_the_first_epoch_the_commissioning_key_is_its_own_and_keeps_members_out"),
        ),
        Change(
            "first-member-is-not-noted",
            "        self._keyring.note_member()\n",
            "",
            of("relay", "the_commissioning_key_of_an_earlier_epoch_keeps_nobody_out_and_admission_ends_it"),
        ),
        Change(
            "cover-key-is-disclosed-after-members-came",
            "        if keyring.admitted:\n",
            "        if False:\n",
            of("relay", "the_commissioning_key_of_an_earlier_epoch_keeps_nobody_out_and_admission_ends_it"),
        ),
        Change(
            "open-epochs-cover-key-is-disclosed",
            "[epoch for epoch in keyring.epochs if epoch < self.epoch]",
            "[epoch for epoch in keyring.epochs if epoch <= self.epoch]",
            of("relay", "the_commissioning_key_of_an_earlier_epoch_keeps_nobody_out_and_admission_ends_it"),
        ),
        Change(
            "open-round-is-shown-for-commissioning",
            "round_ >= self._rounds.sealed_next:",
            "round_ > self._rounds.sealed_next:",
            of("relay", "the_open_round_is_not_shown_for_commissioning"),
        ),
        Change(
            "token-does-not-bear-out-the-clock",
            "        if self.clock.provisional:\n            self._rounds.accept_clock()",
            "        if False:\n            self._rounds.accept_clock()",
            of("relay_clock", "a_token_of_the_next_epoch_bears_out_a_clock_and_none_that_was_issued_further_ahead"),
        ),
        Change(
            "provisioned-seed-stays",
            "        self._directory.remove(_SEED_FILE)\n",
            "",
            of("relay", "the_seed_changes_at_every_boot_and_the_old_one_is_erased"),
        ),
        Change(
            "provisioned-seed-goes-before-the-key-ring-is-durable",
            "        keyring.begin_boot(next_sector, self._generator.new_seed())\n"
            "        self._directory.remove(_SEED_FILE)\n",
            "        self._directory.remove(_SEED_FILE)\n"
            "        keyring.begin_boot(next_sector, self._generator.new_seed())\n",
            of("relay", "the_provisioned_seed_goes_once_the_key_ring_has_its_own"),
        ),
        Change(
            "seed-is-used-for-two-boots",
            "keyring.begin_boot(next_sector, self._generator.new_seed())",
            "keyring.begin_boot(next_sector, keyring.seed)",
            of("relay", "the_seed_changes_at_every_boot_and_the_old_one_is_erased"),
        ),
        Change(
            "keys-of-epochs-to-come-are-used",
            "if any(epoch > keyring.sealed_next // newest.epoch_rounds for epoch in keyring.epochs):",
            "if False:",
            of("hostile_input", "a_key_ring_with_keys_of_epochs_to_come_is_a_fault"),
        ),
        Change(
            "set-with-more-tokens-than-the-key-ring-keeps",
            "        self._keyring.check_capacity(most_epochs(head), head.members * head.tokens_per_epoch)\n",
            "",
            of("hostile_input", "pushed_parameters_with_more_tokens_than_the_key_ring_keeps_are_refused"),
        ),
        Change(
            "push-is-not-forgotten-with-its-session",
            '        """Drop what a session was pushing, as its connection ended."""\n'
            "        self._pushes.leave(session)\n",
            '        """Drop what a session was pushing, as its connection ended."""\n',
            of("server_answers", "a_push_ends_with_its_connection"),
        ),
        Change(
            "anybody-is-the-operator",
            "        if not curve.verify(signature, message, newest.root_key):\n",
            "        if False:\n",
            of("relay", "the_operator_pushes_and_brings_code_and_does_nothing_else"),
        ),
        Change(
            "operator-keeps-a-members-token",
            "session.operator, session.token = True, None",
            "session.operator = True",
            of("relay", "the_operator_pushes_and_brings_code_and_does_nothing_else"),
        ),
        Change(
            "operator-reads",
            "if session.operator or handshake_hash is None:",
            "if handshake_hash is None:",
            of("relay", "the_operator_pushes_and_brings_code_and_does_nothing_else"),
        ),
        Change(
            "operator-is-admitted-as-a-member",
            '        if session.operator:\n            raise NotAdmitted("this',
            '        if False:\n            raise NotAdmitted("this',
            of("relay", "the_operator_pushes_and_brings_code_and_does_nothing_else"),
        ),
        Change(
            "session-fetches-seventeen-rounds-in-one",
            "+ end - start > wire.FETCH_ROUNDS:",
            "+ end - start > wire.FETCH_ROUNDS + 1:",
            of("relay", "a_session_fetches_sixteen_rounds_in_one_and_another_sixteen_in_the_next"),
        ),
        Change(
            "rounds-that-were-fetched-are-not-counted",
            "            self._session.fetched(self._relay.open_round, 1)\n",
            "",
            of("relay", "a_session_fetches_sixteen_rounds_in_one_and_another_sixteen_in_the_next"),
        ),
        Change(
            "constant-batches-of-any-size",
            "if head.constant > constant:",
            "if False:",
            of("constant", "more_places_than_a_window_makes_room_for_are_refused"),
        ),
        Change(
            "token-posts-twice-a-round",
            "if token.round == self.open_round or not",
            "if not",
            of("constant", "a_token_posts_once_a_round_whatever_its_sessions_and_buckets"),
        ),
        Change(
            "round-of-a-start-takes-posts",
            "if token.round == self.open_round or not (self._rounds.served or self._first):",
            "if token.round == self.open_round:",
            of("constant", "nobody_posts_in_the_round_of_a_start_whatever_was_posted_in_it"),
        ),
        Change(
            "wait-after-a-start-ends-with-the-seal-of-missed-rounds",
            "not (self._rounds.served or self._first):",
            "self._rounds.sealed_next != self.open_round and not self._first:",
            of("constant", "the_seal_of_rounds_that_were_missed_ends_no_wait"),
        ),
        Change(
            "token-is-marked-behind-its-page",
            "            session.token.round = self.open_round  # before anything is programmed\n"
            "            self._log.append(self.open_round, bucket, record, self._epochs.ciphers[self.epoch])\n",
            "            self._log.append(self.open_round, bucket, record, self._epochs.ciphers[self.epoch])\n"
            "            session.token.round = self.open_round\n",
            of("constant", "a_post_that_the_storage_lost_has_had_its_round"),
        ),
        Change(
            "rules-of-constant-batches-with-tables",
            "            if self.parameters.rule(self.epoch).constant:\n                self._require_place",
            "            if True:\n                self._require_place",
            of("constant", "with_a_table_a_token_posts_as_often_as_it_likes_and_from_the_start_on"),
        ),
        Change(
            "status-hides-damage",
            "            | (wire.DAMAGED if self._log.damaged else 0)\n",
            "",
            of("constant", "a_damaged_record_leaves_a_batch_its_size_and_status_says_so"),
        ),
        Change(
            "set-with-a-cell-too-large-for-the-memory",
            "if cell_records is not None and",
            "if False and",
            of("push", "a_cell_that_the_memory_has_no_room_for_is_refused"),
        ),
        Change(
            "set-with-more-buckets-than-the-index-keeps",
            "if head.buckets > buckets:",
            "if False:",
            of("push", "what_may_not_follow_is_refused_with_the_reason_and_changes_nothing"),
        ),
    ),
    "firmware/tessera/handshakes.py": (
        Change(
            "one-ephemeral-for-several-handshakes",
            "self._static, self._ephemerals.pop())",
            "self._static, self._ephemerals[-1])",
            of("admission", "every_handshake_has_an_ephemeral_of_its_own"),
        ),
        Change(
            "one-nonce-for-several-connections",
            "        self._drawn_at = start + length\n",
            "",
            of("admission", "every_connection_has_a_nonce_of_its_own"),
        ),
        Change(
            "resumption-without-randomness-of-the-relay",
            "self._drawn_ahead(channel.RELAY_RANDOM_BYTES))",
            "bytes(channel.RELAY_RANDOM_BYTES))",
            of("admission", "every_resumption_has_randomness_of_the_relay"),
        ),
        Change(
            "resumption-id-is-used-again",
            "        self._epochs.admission.offer_resumption(token, step[2])",
            "        None",
            of("relay", "resumption_takes_the_token_along_and_an_id_is_used_once"),
        ),
        Change(
            "fifteen-posts-are-known-again",
            "_PREFIXES = const(16)",
            "_PREFIXES = const(15)",
            of("relay", "the_last_16_posts_of_a_session_are_known_again"),
        ),
    ),
    "firmware/tessera/channel.py": (
        Change(
            "hello-of-any-access-key",
            'if _hello_key(access_key).verify(check, b"hello", nonce, start):',
            "if True:",
            of("relay", "a_hello_with_another_access_key_is_refused_before_any_curve_work")
            + of("vectors_channel", "a_changed_byte_of_a_hellos_start_fails_the_check_before_curve_work"),
        ),
        Change(
            "resumption-without-a-proof",
            'if not equal(hmac_sha256(key, b"proof", nonce, start), hello[_CHECK_END:]):',
            "if False:",
            of("vectors_channel", "a_changed_byte_of_a_resumption_is_refused"),
        ),
        Change(
            "resumption-of-a-relay-without-the-key",
            'if not equal(hmac_sha256(self._key, b"accept", self._nonce, self._start, relay_random), reply[33:]):',
            "if False:",
            of("vectors_channel", "a_changed_byte_of_a_resumption_is_refused"),
        ),
        Change(
            "frame-is-taken-again",
            "        self._received += 1\n",
            "",
            of("vectors_channel", "a_frame_again_too_early_or_reflected_is_refused"),
        ),
        Change(
            "frames-sealed-under-one-counter",
            "        self._sent += 1\n",
            "",
            of("vectors_channel", "frames_sealed_in_place_are_the_vectors", "sealed_frames_are_the_vectors"),
        ),
        Change(
            "frame-with-longer-padding",
            "if len(plaintext) != len(frame) - 1 - TAG_BYTES:",
            "if False:",
            of("vectors_channel", "a_frame_of_the_right_size_with_longer_padding_is_refused"),
        ),
        Change(
            "hello-proof-is-not-opened",
            "        noise.open_empty(hello[_CHECK_END:])\n",
            "        noise._mix_hash(hello[_CHECK_END:])\n",
            of("vectors_channel", "a_changed_byte_of_a_hellos_proof_is_refused"),
        ),
        Change(
            "handshake-does-not-name-the-relay",
            "        self._mix_hash(relay_key)\n",
            "",
            of("vectors_channel", "hellos_are_the_vectors"),
        ),
    ),
    "firmware/tessera/admission.py": (
        Change(
            "more-tokens-than-places-have-leases",
            "if not token.leases and len(self._keyring.leases) == self._most_tokens:",
            "if False:",
            of("constant", "no_more_tokens_than_places_have_leases_in_an_epoch"),
        ),
        Change(
            "second-leases-need-a-place-again",
            "if not token.leases and len(",
            "if len(",
            of("constant", "no_more_tokens_than_places_have_leases_in_an_epoch"),
        ),
        Change(
            "token-of-any-issuer",
            "if token_id not in self._tokens and not self._signed(key, signature):",
            "if False:",
            of("relay", "forged_foreign_and_stale_tokens_are_refused_without_a_trace"),
        ),
        Change(
            "token-of-the-first-cohort-only",
            "for epoch_key in self._epoch_keys]) > 0",
            "for epoch_key in self._epoch_keys[:1]]) > 0",
            of("admission", "a_token_of_whichever_cohort_takes_the_same_curve_work"),
        ),
        Change(
            "token-without-a-proof",
            'if not curve.verify(proof, tagged("session", handshake_hash), key):',
            "if False:",
            of("relay", "an_auth_frame_cannot_be_replayed_in_another_session"),
        ),
        Change(
            "proof-for-any-session",
            'tagged("session", handshake_hash), key)',
            'tagged("session", b""), key)',
            of("vectors_token", "tokens_are_admitted", "a_proof_for_another_session_or_by_another_key_is_refused"),
        ),
        Change(
            "token-of-another-epoch-costs-curve-work",
            "if epoch != self.epoch or handshake_hash is None:",
            "if handshake_hash is None:",
            of("admission", "another_epoch_or_a_resumed_session_is_refused_without_curve_work"),
        ),
        Change(
            "restart-gives-the-quota-back",
            "self.used = leases * LEASE_POSTS",
            "self.used = 0",
            of("relay", "quota_is_per_token_across_sessions_and_restarts"),
        ),
        Change(
            "lease-is-not-durable",
            "            self._keyring.lease(token.ring_id, token.leases + 1)\n",
            "",
            of("relay", "quota_is_per_token_across_sessions_and_restarts"),
        ),
        Change(
            "lease-is-taken-a-post-late",
            "if token.used == token.leases * LEASE_POSTS:",
            "if token.used > token.leases * LEASE_POSTS:",
            of("relay", "the_first_post_of_a_lease_has_taken_it"),
        ),
        Change(
            "quota-is-not-looked-at",
            "        if not self.posts_left(token):\n",
            "        if False:\n",
            of("relay", "a_refused_post_stores_nothing"),
        ),
        Change(
            "only-the-very-next-resumption",
            "            step = resumption_step(step[2])\n",
            "            pass\n",
            of("relay", "resumption_accepts_the_next_id_after_a_lost_answer_but_not_the_one_after"),
        ),
    ),
    "firmware/tessera/keyring.py": (
        Change(
            "old-bank-is-not-erased",
            "        if erase_old:\n",
            "        if False:\n",
            of("keyring", "dropped_keys_are_not_in_the_raw_flash"),
        ),
        Change(
            "half-erased-bank-is-taken-for-blank",
            "pages = 0 if self._are_blank(sectors) else self._bank_pages - 1",
            "pages = 0",
            of("keyring", "a_start_erases_what_may_be_half_erased_and_what_was_programmed_and_no_more"),
        ),
        Change(
            "bank-is-erased-from-its-first-sector",
            "for sector in range(min(first + pages // PAGES_PER_SECTOR, sectors[-1]), first - 1, -1):",
            "for sector in range(first, min(first + pages // PAGES_PER_SECTOR, sectors[-1]) + 1):",
            of("keyring", "of_a_bank_every_sector_is_erased_that_was_programmed_from_the_last_to_the_first"),
        ),
        Change(
            "old-bank-is-erased-before-the-new-one-is-valid",
            "        if not self._try_page(new * self._bank_pages, generation, _HEAD, self._head(pages)):\n",
            "        if self._bank is not None:\n"
            "            self._erase(1 - new)\n"
            "        if not self._try_page(new * self._bank_pages, generation, _HEAD, self._head(pages)):\n",
            of("keyring", "a_cut_in_any_operation_of_a_rewrite_leaves_the_old_or_the_new_state"),
        ),
        Change(
            "bank-that-may-be-valid-stays-beside-what-is-appended",
            "        if self._doubtful:",
            "        if False:",
            of("keyring", "what_is_appended_after_a_change_that_failed_anywhere_is_stored"),
        ),
        Change(
            "key-ring-page-without-a-sync",
            "        nor.sync(self._device)\n        self._device.readblocks(page >> 4, self._check",
            "        self._device.readblocks(page >> 4, self._check",
            of("keyring", "every_change_is_durable_when_it_returns_whatever_a_cache_loses"),
        ),
        Change(
            "key-ring-erase-without-a-sync",
            "            nor.erase(self._device, sector)\n        nor.sync(self._device)\n",
            "            nor.erase(self._device, sector)\n",
            of("keyring", "keys_that_were_erased_do_not_come_back_from_a_cache"),
        ),
        Change(
            "bank-that-does-not-erase-is-used",
            "        if not self._are_blank(sectors):\n",
            "        if False:\n",
            of("keyring", "flash_that_does_not_erase_is_a_fault_and_the_state_stands"),
        ),
        Change(
            "key-ring-page-is-not-read-back",
            "        if self._check == self._page:\n",
            "        if True:\n",
            of("keyring", "pages_that_keep_no_program_are_skipped"),
        ),
        Change(
            "torn-key-ring-page-counts",
            "return self._page != BLANK_PAGE and _digest(page, self._page) == self._page[_DIGEST_AT:]",
            "return self._page != BLANK_PAGE",
            of("vectors_keyring", "a_page_with_a_changed_byte_does_not_count"),
        ),
        Change(
            "page-of-an-earlier-generation-counts",
            "if self._read(page) and self._page_generation() == self._generation:",
            "if self._read(page):",
            of("vectors_keyring", "a_page_of_another_generation_does_not_count"),
        ),
        Change(
            "lower-generation-counts",
            "self._generation, self._bank = max(found)",
            "self._generation, self._bank = min(one for one in found if one[0] >= 0 or max(found)[0] < 0)",
            of("keyring", "the_higher_generation_counts_in_either_bank"),
        ),
        Change(
            "missing-page-of-a-snapshot-is-no-fault",
            "        if self._snapshot_pages > 0:\n",
            "        if False:\n",
            of("vectors_keyring", "a_page_of_the_snapshot_that_cannot_be_read_is_a_fault"),
        ),
        Change(
            "change-that-faults-stays-in-memory",
            "            if self._generation == generation:\n",
            "            if False:\n",
            of("keyring", "a_change_that_faults_is_taken_back_and_made_the_next_time"),
        ),
        Change(
            "lease-that-faults-stays-in-memory",
            "                del self.leases[token_id]\n",
            "                pass\n",
            of("keyring", "a_change_that_faults_is_taken_back_and_made_the_next_time"),
        ),
        Change(
            "disclosure-goes-on-after-the-first-member",
            "self._set_flags(self.flags | ADMITTED, NEVER)",
            "self._set_flags(self.flags | ADMITTED, self.commissioned)",
            of("keyring", "the_first_member_ends_disclosure_and_each_is_durable_once"),
        ),
        Change(
            "leases-outlive-their-epoch",
            "lease_epoch=epoch, leases={}, seed=seed",
            "lease_epoch=epoch, leases=self.leases, seed=seed",
            of("keyring", "an_epoch_opens_with_its_keys_and_with_nothing_of_the_one_before"),
        ),
        Change(
            "leases-outlive-their-epoch-over-a-boot",
            "            self.lease_epoch, self.leases = epoch, {}\n",
            "            self.lease_epoch = epoch\n",
            of("keyring", "an_epoch_that_opens_again_keeps_its_own_leases_only"),
        ),
        Change(
            "bank-is-filled-to-its-end",
            "        if self._used_pages > self._bank_pages // 2:\n",
            "        if False:\n",
            of("keyring", "a_bank_that_is_half_full_is_rewritten_in_the_window"),
        ),
        Change(
            "factory-reset-forgets-itself-first",
            "        erase_rest()\n        self._erase(bank)\n",
            "        self._erase(bank)\n        erase_rest()\n",
            of("device_factory_reset", "a_power_cut_while_a_reset_is_finished_changes_nothing_of_its_end"),
        ),
        Change(
            "no-spare-pages-in-a-bank",
            "_SPARE_PAGES = const(4)",
            "_SPARE_PAGES = const(0)",
            of("keyring", "more_epochs_or_tokens_than_a_bank_holds_are_refused"),
        ),
        Change(
            "page-of-any-length",
            "    return length == _LENGTHS.get(kind)\n",
            "    return True\n",
            of("hostile_input", "key_ring_pages_of_a_length_no_relay_writes_are_a_fault"),
        ),
    ),
    "firmware/tessera/recordlog.py": (
        Change(
            "half-erased-sector-is-taken-for-blank",
            "if self._erases_at_once or not self._blank_ahead or following == self._sector:",
            "if self._erases_at_once or following == self._sector:",
            of("recordlog", "sectors_that_were_erased_are_not_erased_again_but_for_those_that_may_be_half_erased"),
        ),
        Change(
            "last-blank-sector-is-taken-for-erased",
            "return nor.is_blank(self._device, sector) and nor.is_blank(self._device, following)",
            "return nor.is_blank(self._device, sector)",
            of("recordlog", "sectors_that_were_erased_are_not_erased_again_but_for_those_that_may_be_half_erased"),
        ),
        Change(
            "damaged-record-leaves-its-cell",
            "was_whole and self._enter_lost(",
            "False and self._enter_lost(",
            of("recordlog", "a_flipped_bit_costs_that_record_only_and_the_cell_keeps_its_count"),
        ),
        Change(
            "torn-page-is-a-record",
            "was_whole = page < self._newest_page(sector) or numbers[sector] + 1 in list(numbers)",
            "was_whole = True",
            of("recordlog", "the_last_page_of_a_boot_may_be_torn_and_is_no_record"),
        ),
        Change(
            "lost-copy-is-a-record-beside-its-original",
            "if buffer.is_copy or buffer.seq != (number",
            "if buffer.seq != (number",
            of("recordlog", "a_lost_copy_leaves_the_count_to_its_original"),
        ),
        Change(
            "lost-page-outlives-its-sector",
            "                self.lost = [page for page in self.lost if page >> 4 != sector]\n",
            "",
            of("recordlog", "lost_pages_go_with_their_sector"),
        ),
        Change(
            "record-without-a-sync",
            "            nor.sync(self._device)\n            self._device.readblocks(page >> 4, read_back",
            "            self._device.readblocks(page >> 4, read_back",
            of("recordlog", "a_record_that_was_stored_outlives_a_cut_that_loses_all_that_was_not_synced"),
        ),
        Change(
            "doubtful-page-is-blotted-out-without-a-sync",
            "            self._device.writeblocks(page >> 4, ZERO_PAGE, (page & 15) << 8)\n"
            "            nor.sync(self._device)\n",
            "            self._device.writeblocks(page >> 4, ZERO_PAGE, (page & 15) << 8)\n",
            of("recordlog", "a_page_that_an_exception_kept_out_of_the_index_is_never_found"),
        ),
        Change(
            "doubtful-page-is-not-noted",
            "            self._doubtful = page\n",
            "",
            of("recordlog", "a_page_that_an_exception_kept_out_of_the_index_is_never_found"),
        ),
        Change(
            "record-is-not-read-back",
            "            if read_back == written:\n",
            "            if True:\n",
            of("recordlog", "a_page_that_does_not_read_back_is_skipped_and_never_found"),
        ),
        Change(
            "seq-is-used-twice",
            "self._number = max(numbers[newest] + 2, next_number + 1) - 1",
            "self._number = max(numbers[newest] + 1, next_number) - 1",
            of("recordlog", "no_seq_is_used_twice_under_a_key_whatever_is_torn"),
        ),
        Change(
            "ring-is-filled-without-a-sync",
            "            self._device.writeblocks(page >> 4, self._buffer.page, (page & 15) << 8)\n"
            "        nor.sync(self._device)\n",
            "            self._device.writeblocks(page >> 4, self._buffer.page, (page & 15) << 8)\n",
            of("recordlog", "a_ring_that_was_filled_stays_so_whatever_the_cache_loses"),
        ),
        Change(
            "sector-spans-a-round-too-many",
            "_LONGEST_SPAN = const(254)",
            "_LONGEST_SPAN = const(255)",
            of("recordlog", "a_gap_of_more_than_254_rounds_opens_a_new_sector"),
        ),
        Change(
            "sector-of-the-first-kept-round-is-erased",
            "self._last_round[sector] >= self._first_kept_round",
            "self._last_round[sector] > self._first_kept_round",
            of("recordlog", "sectors_are_used_again_after_expiry_and_kept_rounds_are_never_touched"),
        ),
        Change(
            "newest-record-is-not-copied",
            "        if found is None or found[0] < first_kept_round:\n            return\n",
            "        return\n",
            of("recordlog", "a_copy_replaces_its_original_and_outlives_it"),
        ),
        Change(
            "record-and-its-copy-are-both-found",
            "        self._index[original] = _EMPTY\n        return original\n",
            "        return original\n",
            of("recordlog", "equal_records_are_kept_as_often_as_they_were_posted"),
        ),
        Change(
            "boots-use-up-the-ring",
            "            self._give_back(newest << 4, originals.get(newest << 4))\n",
            "",
            of("recordlog", "boots_without_posts_use_up_no_sectors"),
        ),
        Change(
            "full-ring-is-busy",
            "            if self._live(following):\n",
            "            if False:\n",
            of("recordlog", "a_full_ring_is_a_fault_and_changes_nothing"),
        ),
        Change(
            "room-for-a-cell-tells-its-records",
            'pages = array("I", bytes(4 * (count + dummies + 1)))',
            'pages = array("I", bytes(4 * (count + 1)))',
            of("recordlog", "room_for_a_cell_depends_on_its_published_count_only"),
        ),
    ),
    "firmware/tessera/files.py": (
        Change(
            "replaced-file-without-a-sync",
            "                file.write(part)\n            sync(file)\n",
            "                file.write(part)\n",
            of("files", "what_changed_is_synced_and_then_its_name"),
        ),
        Change(
            "appended-file-without-a-sync",
            "            file.write(data)\n            sync(file)\n        sync_directory",
            "            file.write(data)\n        sync_directory",
            of("files", "what_changed_is_synced_and_then_its_name"),
        ),
        Change(
            "renamed-file-without-a-sync",
            "        os.rename(self._path + name, self._path + new_name)\n        sync_directory(self._path)\n",
            "        os.rename(self._path + name, self._path + new_name)\n",
            of("files", "what_changed_is_synced_and_then_its_name"),
        ),
    ),
    "firmware/tessera/native.py": (
        Change(
            "a-batch-is-planned-by-a-branch",
            "        entries[place] = page | (1 << DUMMY_BIT | (place - real)) & other\n",
            "        entries[place] = page if is_real else 1 << DUMMY_BIT | (place - real)\n",
            ("attacks/test_attacks.py::test_moments_of_a_server_hold",),
        ),
    ),
    "firmware/tessera/runtime_cpython.py": (
        Change(
            "milliseconds-are-counted-from-the-end-of-the-work",
            "await asyncio.sleep(milliseconds / 1000 - time.monotonic_ns() % 1_000_000 / 1e9)",
            "await asyncio.sleep(milliseconds / 1000)",
            ("attacks/test_attacks.py::test_moments_of_a_server_hold",),
        ),
        Change(
            "sync-is-a-flush",
            "    file.flush()\n    fsync(file.fileno())\n",
            "    file.flush()\n",
            of("files", "on_cpython_a_sync_asks_the_system_for_it"),
        ),
        Change(
            "sync-without-a-flush",
            "    file.flush()\n    fsync(file.fileno())\n",
            "    fsync(file.fileno())\n",
            of("files", "on_cpython_a_sync_asks_the_system_for_it"),
        ),
    ),
    "firmware/tessera/filedevice.py": (
        Change(
            "flash-file-without-a-sync",
            "            sync(self._file)\n",
            "            pass\n",
            of("filedevice", "a_sync_reaches_the_disk"),
        ),
        Change(
            "program-sets-bits",
            'int.from_bytes(old, "big") & int.from_bytes(buffer, "big")',
            'int.from_bytes(buffer, "big")',
            of("filedevice", "a_program_only_clears_bits"),
        ),
    ),
    "firmware/tessera/nor.py": (
        Change(
            "first-page-tells-whether-a-sector-is-blank",
            "for offset in range(0, SECTOR_BYTES, PAGE_BYTES):",
            "for offset in range(0, PAGE_BYTES, PAGE_BYTES):",
            of("nor", "a_sector_is_blank_until_a_bit_of_it_is_programmed_and_once_it_is_erased"),
        ),
    ),
    "firmware/tessera/ownership.py": (
        Change(
            "two-relays-take-one-directory",
            "        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
            "        pass\n",
            of("ownership", "a_directory_that_is_taken_is_not_taken_again_until_it_is_free"),
        ),
        Change(
            "others-read-what-was-there",
            '            _tighten(path + "/" + name)\n',
            "            pass\n",
            of("ownership", "what_others_may_read_is_taken_from_them"),
        ),
        Change(
            "others-read-what-is-made",
            "    _umask(_OTHERS)\n",
            "",
            of("ownership", "what_is_made_in_it_is_its_owners_only"),
        ),
    ),
    "firmware/tessera/ledger.py": (
        Change(
            "checkpoints-are-not-chained",
            "body += bytes(32) if last is None else last.link()",
            "body += bytes(32)",
            of("relay", "checkpoints_are_signed_and_chained_one_an_epoch"),
        ),
        Change(
            "second-checkpoint-of-an-epoch",
            "        if epoch <= self.last_epoch:\n",
            "        if epoch < self.last_epoch:\n",
            of("ledger", "an_epoch_is_appended_once"),
        ),
        Change(
            "torn-checkpoint-stays",
            "        if size % CHECKPOINT_BYTES:\n",
            "        if False:\n",
            of("ledger", "a_torn_append_is_mended_and_made_again"),
        ),
        Change(
            "failed-append-is-mended-at-a-start-only",
            "        if self._unsure:",
            "        if False:",
            of("ledger", "an_append_that_failed_is_mended_by_the_next"),
        ),
        Change(
            "checkpoint-of-anybody-holds",
            '        if not curve.verify(self._signature, tagged("checkpoint", self.blob[:_SIGNED_BYTES]), '
            "ledger_key):\n",
            "        if False:\n",
            of("ledger", "a_changed_or_foreign_checkpoint_is_refused"),
        ),
    ),
    "firmware/tessera/clock.py": (
        Change(
            "correction-without-an-allowance",
            "step = min(max(0, unix_ms - self.now_ms()), self._allowance_ms)",
            "step = max(0, unix_ms - self.now_ms())",
            of("clock", "corrections_go_forward_within_the_allowance"),
        ),
        Change(
            "correction-backward",
            "step = min(max(0, unix_ms - self.now_ms()), self._allowance_ms)",
            "step = min(unix_ms - self.now_ms(), self._allowance_ms)",
            of("clock", "corrections_go_forward_within_the_allowance"),
        ),
        Change(
            "allowance-is-not-used-up",
            "        self._allowance_ms -= step\n",
            "",
            of("clock", "corrections_go_forward_within_the_allowance"),
        ),
        Change(
            "allowances-add-up",
            "        self._allowance_ms = milliseconds\n",
            "        self._allowance_ms += milliseconds\n",
            of("clock", "an_allowance_does_not_add_up"),
        ),
        Change(
            "clock-is-set-back",
            "(not self.known or unix_ms > self.now_ms())",
            "True",
            of("clock", "a_set_clock_never_goes_back"),
        ),
        Change(
            "earlier-bound-replaces-a-later-one",
            "self._earliest_ms = max(self._earliest_ms, unix_ms)",
            "self._earliest_ms = unix_ms",
            of("clock", "a_time_that_is_too_early_is_taken_from_nobody"),
        ),
        Change(
            "correction-to-a-time-that-is-too-early",
            "        if not self.possible(unix_ms):\n            return 0\n",
            "",
            of("clock", "a_time_that_is_too_early_is_taken_from_nobody"),
        ),
    ),
    "firmware/tessera/push.py": (
        Change(
            "push-that-stalls-stands-for-twenty-seconds",
            "_PATIENCE_MS = const(10_000)",
            "_PATIENCE_MS = const(20_000)",
            of("push", "a_push_that_stalls_gives_way_to_another"),
        ),
        Change(
            "push-that-trickles-stands-for-ever",
            "            and now_ms - transfer.first_ms < _LONGEST_MS\n",
            "",
            of("push", "a_push_that_trickles_gives_way_after_two_minutes"),
        ),
        Change(
            "push-that-begins-again-stands-anew",
            "session, now_ms - session.pushed_ms, 0",
            "session, now_ms, 0",
            of("push", "a_push_that_begins_again_and_again_gives_way_after_two_minutes"),
        ),
        Change(
            "one-slot-for-all",
            "self._transfers[1 if session.operator else 0]",
            "self._transfers[0]",
            of("push", "one_set_at_a_time_and_the_operators_beside_it"),
        ),
        Change(
            "signed-time-of-anybody",
            "        self._verify(session, lambda: statement.verify(newest.root_key))\n",
            "",
            of("relay_clock", "a_statement_of_another_root_key_or_federation_is_refused"),
        ),
        Change(
            "signed-time-of-another-federation",
            "if statement.federation_id != newest.federation_id:",
            "if False:",
            of("relay_clock", "a_statement_of_another_root_key_or_federation_is_refused"),
        ),
        Change(
            "chunks-in-any-order",
            "if transfer.session is not session or at != transfer.at or len(transfer.data) != total:",
            "if transfer.session is not session or len(transfer.data) != total:",
            of("push", "chunks_that_break_the_rules_forget_the_push_and_keep_nobody_waiting"),
        ),
        Change(
            "push-that-was-refused-holds-its-place",
            "        except Exception:\n            self.leave(session)\n            raise\n",
            "        except Exception:\n            raise\n",
            of("push", "chunks_that_break_the_rules_forget_the_push_and_keep_nobody_waiting"),
        ),
        Change(
            "set-takes-memory-before-it-is-verified",
            "        self._verify(session, head.verify)\n",
            "",
            of("push", "a_sets_first_chunk_is_verified_before_anything_of_it_is_kept"),
        ),
        Change(
            "any-number-of-signatures-may-fail",
            "            self._failed = period\n",
            "",
            of("push", "one_signature_a_round_may_fail"),
        ),
        Change(
            "operator-waits-for-others-failures",
            "if period == self._failed and not session.operator:",
            "if period == self._failed:",
            of("push", "one_signature_a_round_may_fail"),
        ),
    ),
    "firmware/tessera/staging.py": (
        Change(
            "release-of-anybody",
            "            release.verify(parameters.root_key)\n",
            "",
            of("staging", "what_may_not_be_staged_is_refused_before_the_flash_is_touched"),
        ),
        Change(
            "other-bytes-than-the-release-is-of",
            "        if self.places.digest(self._release.bytes) != self._release.sha256:\n",
            "        if False:\n",
            of("staging", "other_bytes_than_the_release_is_of_are_not_activated"),
        ),
        Change(
            "code-is-put-back",
            "(release.version > self.places.version, ",
            "(release.version >= self.places.version, ",
            of("staging", "what_may_not_be_staged_is_refused_before_the_flash_is_touched"),
        ),
        Change(
            "code-for-another-board",
            "(release.board == self.places.board, ",
            "(True, ",
            of("staging", "what_may_not_be_staged_is_refused_before_the_flash_is_touched"),
        ),
        Change(
            "code-for-another-base",
            "(release.base == self.places.base, ",
            "(True, ",
            of("staging", "what_may_not_be_staged_is_refused_before_the_flash_is_touched"),
        ),
        Change(
            "trial-is-confirmed-without-a-round",
            "            if rounds_served and self._self_test():\n",
            "            if self._self_test():\n",
            of("staging", "staged_code_runs_after_the_next_seal_and_stays_when_it_served_a_round"),
        ),
        Change(
            "trial-is-confirmed-without-a-self-test",
            "            if rounds_served and self._self_test():\n",
            "            if rounds_served:\n",
            of("staging", "a_failed_self_test_keeps_a_trial_from_being_confirmed"),
        ),
        Change(
            "pieces-of-any-session",
            "if self._release is None or self._owner is not session:",
            "if self._release is None:",
            of("staging", "pieces_are_taken_from_the_session_that_began_only"),
        ),
        Change(
            "staged-page-is-not-read-back",
            "        if back != self._page:\n",
            "        if False:\n",
            of("staging", "flash_that_does_not_keep_a_page_is_a_fault"),
        ),
        Change(
            "code-is-staged-during-a-trial",
            "if self.places.idle is None or self._due:",
            "if self._due:",
            of("staging", "nothing_is_staged_while_code_is_activated_or_on_trial"),
        ),
    ),
    "firmware/tessera/server.py": (
        Change(
            "seal-is-taken-for-a-peer",
            "            self._relay.maintain()\n",
            "            self._relay.maintain()\n            self._heard()\n",
            of("server", "only_what_a_peer_says_is_heard_and_no_seal"),
        ),
        Change(
            "handshakes-follow-each-other-without-a-turn",
            "            await asyncio.sleep(0)  # others that wait have a turn before the next curve work\n",
            "",
            ("host/test_server_machine.py::test_between_two_handshakes_whoever_waits_has_a_turn",),
        ),
        Change(
            "readers-hold-all-places",
            "if len(readers) >= max(1, self._most_sessions // 2):",
            "if len(readers) >= self._most_sessions:",
            of("server", "readers_have_half_of_the_places_and_the_oldest_makes_room_after_half_a_minute"),
        ),
        Change(
            "reader-keeps-its-place-for-ever",
            "if ticks_diff(now, oldest.began_ms) < _READER_MS:",
            "if True:",
            of("server", "readers_have_half_of_the_places_and_the_oldest_makes_room_after_half_a_minute"),
        ),
        Change(
            "reader-without-a-place-waits-in-another",
            "            self._deliveries -= 1\n        if isinstance(refusal, _NoPlace):\n",
            "            self._deliveries -= 1\n        if False:\n",
            of("server", "readers_have_half_of_the_places_and_the_oldest_makes_room_after_half_a_minute"),
        ),
        Change(
            "whoever-has-no-key-takes-a-readers-place",
            "                        delivery = self._relay.fetch(connection.session, frame)\n"
            "                        await self._take_readers_place(connection)\n",
            "                        await self._take_readers_place(connection)\n"
            "                        delivery = self._relay.fetch(connection.session, frame)\n",
            of("server", "a_session_with_a_token_is_no_reader_and_one_without_the_key_takes_nobodys_place"),
        ),
        Change(
            "member-with-a-token-is-a-reader",
            "readers = [one for one in self._connections if one.reads and one.session.token is None]",
            "readers = [one for one in self._connections if one.reads]",
            of("server", "a_reader_that_is_admitted_makes_room_for_another"),
        ),
        Change(
            "operator-takes-a-members-place",
            "if one.session is not None and not one.session.operator]",
            "if one.session is not None]",
            of("server", "the_operator_has_a_place_beside_the_others_and_the_newer_one_takes_it"),
        ),
        Change(
            "two-operators-at-once",
            "                self._take_operators_place(connection)\n",
            "                pass\n",
            of("server", "the_operator_has_a_place_beside_the_others_and_the_newer_one_takes_it"),
        ),
        Change(
            "cells-leave-in-the-window-after-a-seal",
            "        await _sleep_until(start, due)\n        await self._gate.wait()\n",
            "        await _sleep_until(start, due)\n",
            of("server_answers", "no_frame_of_a_fetch_leaves_in_the_window_after_a_seal"),
        ),
        Change(
            "answers-leave-in-the-window-after-a-seal",
            "        await self._gate.wait()\n        connection.session.channel.seal_in_place(out)\n",
            "        connection.session.channel.seal_in_place(out)\n",
            of("server_answers", "no_answer_leaves_in_the_window_after_a_seal"),
        ),
        Change(
            "answers-leave-when-they-are-ready",
            "        await _sleep_until(arrived, self._timing.ack_ms)\n",
            "",
            of("server_answers", "answers_to_post_and_void_leave_a_fixed_time_after_the_frame"),
        ),
        Change(
            "no-window-after-a-seal",
            "                await _sleep_until(start, self._timing.window_ms)\n",
            "                pass\n",
            of("server_answers", "no_answer_leaves_in_the_window_after_a_seal"),
        ),
        Change(
            "fifth-stranger-stays",
            "most = self._machine.strangers",
            "most = 5",
            of("server", "a_fifth_stranger_evicts_the_oldest_and_no_session"),
        ),
        Change(
            "strangers-that-come-at-once-are-let-in",
            "one.session is None and not one.ending]",
            "one.session is None]",
            of("server", "of_many_strangers_at_once_the_oldest_are_ended_and_each_once"),
        ),
        Change(
            "surplus-session-is-served",
            "            if connection.surplus:\n                raise _NoPlace",
            "            if False:\n                raise _NoPlace",
            of("server", "on_a_machine_with_room_for_it_who_finds_no_place_is_told"),
        ),
        Change(
            "answer-leaves-before-its-commit",
            "                await commit.wait()\n",
            "                pass\n",
            of("server_answers", "an_answer_leaves_after_its_commit_and_is_a_fault_if_that_fails"),
        ),
        Change(
            "session-loses-its-place-at-once",
            "        if ticks_diff(now, oldest.began_ms) < self._timing.slot_ms:\n",
            "        if False:\n",
            of("server", "a_fifth_session_is_turned_away_until_one_ends"),
        ),
        Change(
            "connection-goes-on-after-a-bad-frame",
            "        if isinstance(refusal, (BadFrame, _NoPlace)):\n",
            "        if isinstance(refusal, _NoPlace):\n",
            of("server", "an_unknown_request_is_answered_and_ends_the_connection"),
        ),
        Change(
            "storage-that-fails-ends-the-connection",
            '        return Fault("the storage fails")\n',
            "        raise error\n",
            of("server_answers", "storage_that_fails_is_a_fault_and_the_session_goes_on"),
        ),
        Change(
            "relay-does-not-hear-of-a-connections-end",
            "                self._relay.leave(connection.session)\n",
            "                pass\n",
            of("server_answers", "a_push_ends_with_its_connection"),
        ),
    ),
    "firmware/tessera/drbg.py": (
        Change(
            "state-stays-after-an-output",
            "        self._update()\n        return bytes",
            "        return bytes",
            of("vectors_drbg", "generator_gives_the_vectors_outputs"),
        ),
        Change(
            "source-that-repeats-a-sample",
            "        if sample in seen:\n",
            "        if False:\n",
            of("drbg", "a_source_that_repeats_a_sample_is_a_fault"),
        ),
        Change(
            "run-of-equal-bytes-is-longer",
            "_LONGEST_RUN = const(21)",
            "_LONGEST_RUN = const(22)",
            of("drbg", "a_run_of_equal_bytes_is_a_fault_from_21_on"),
        ),
        Change(
            "seed-without-the-hardware",
            'HmacDrbg(bytes(seed) + source(32), nonce, b"tessera/1/drbg")',
            'HmacDrbg(bytes(seed) + bytes(32), nonce, b"tessera/1/drbg")',
            of("drbg", "each_source_alone_makes_another_stream"),
        ),
        Change(
            "generator-is-never-due",
            "        if self._calls >= _RESEED_INTERVAL:\n",
            "        if False:\n",
            of("drbg", "a_generator_that_was_not_reseeded_in_time_is_a_fault"),
        ),
        Change(
            "relay-starts-on-a-dead-source",
            "        check_source(source)\n",
            "",
            of("drbg", "no_relay_starts_on_a_dead_source"),
        ),
    ),
    "firmware/tessera/hashes_plain.py": (
        Change(
            "last-byte-decides-whether-two-are-equal",
            "        difference |= left[index] ^ right[index]\n",
            "        difference = left[index] ^ right[index]\n",
            of("vectors_hashes", "equal_sees_every_changed_byte_and_every_length"),
        ),
    ),
    "firmware/tessera/aead_plain.py": (
        Change(
            "frame-of-any-key",
            "if not self._mac.verify(view[-TAG_BYTES:], aad, self._iv, body, _bit_length(aad)):",
            "if False:",
            of("vectors_aead", "a_changed_byte_is_refused"),
        ),
        Change(
            "iv-is-not-authenticated",
            "self._mac.verify(view[-TAG_BYTES:], aad, self._iv, body,",
            "self._mac.verify(view[-TAG_BYTES:], aad, bytes(16), body,",
            of("vectors_aead", "opening_gives_the_plaintext_back"),
        ),
    ),
    "firmware/tessera/page_plain.py": (
        Change(
            "page-of-any-key",
            "return self._mac.verify(view[_MAC_AT:_HEADER_BYTES], *covered) and not",
            "return not",
            of("vectors_page", "a_changed_byte_is_no_page"),
        ),
        Change(
            "page-at-any-place",
            'covered = struct.pack(">I", page_index), view',
            "covered = bytes(4), view",
            of("vectors_page", "opening_gives_head_and_record_back"),
        ),
    ),
    "firmware/tessera/batch.py": (
        Change(
            "damaged-record-is-served",
            "        if self._log.lost:\n            self._replace_lost(pages, heads)\n",
            "",
            of("vectors_constant", "a_dummy_stands_for_what_was_damaged_and_all_else_stays"),
        ),
        Change(
            "dummy-for-a-page-has-a-number-of-the-cells",
            "entry = 1 << _DUMMY_BIT | _LOST | page",
            "entry = 1 << _DUMMY_BIT | page",
            of("vectors_constant", "a_dummy_stands_for_what_was_damaged_and_all_else_stays"),
        ),
        Change(
            "real-records-come-first",
            "        native.sort(keys, count)\n",
            "",
            of("batch", "batches_of_any_size_are_the_sorted_records_and_dummies"),
        ),
        Change(
            "records-that-begin-alike-are-not-sorted",
            "            self._sink(keys, index, place_bits, entries, heads)\n",
            "            pass\n",
            of("batch", "records_that_begin_like_dummies_or_each_other_are_sorted_by_all_their_bytes"),
        ),
        Change(
            "dummies-read-no-page",
            "        self._log.read(page, frame.page)\n        self._cipher.decrypt(frame.page, for_page.page)\n",
            "        if not is_dummy:\n"
            "            self._log.read(page, frame.page)\n"
            "            self._cipher.decrypt(frame.page, for_page.page)\n",
            of("vectors_batch", "each_record_served_costs_one_page_one_decryption_and_one_dummy"),
        ),
    ),
    "firmware/tessera/cover_plain.py": (
        Change(
            "dummies-of-a-cell-alike",
            "        native.add_number(self._input, number)\n",
            "",
            of("vectors_cover", "a_cells_dummies_are_the_vectors"),
        ),
    ),
    "firmware/tessera/cover.py": (
        Change(
            "constant-cover-beside-what-is-real",
            "return self._constant - real",
            "return self._constant",
            of("vectors_constant", "batches_are_the_vectors"),
        ),
        Change(
            "heads-of-the-dummies-that-are-served-alone",
            "self.candidates = constant or len(thresholds) // 8",
            "self.candidates = len(thresholds) // 8",
            of("vectors_batch", "the_work_for_a_constant_batchs_order_is_the_same_whatever_is_real"),
        ),
        Change(
            "constant-batch-with-more-than-its-size",
            "if real > self._constant:",
            "if False:",
            of("constant", "a_cell_with_more_records_than_places_is_a_fault_and_not_served"),
        ),
        Change(
            "noise-and-dummies-under-one-label",
            'self._cell(b"noise", bucket, round_)[:8]',
            'self._cell(b"cover", bucket, round_)[:8]',
            of("vectors_cover", "a_cells_noise_is_that_of_its_draw"),
        ),
    ),
    "firmware/tessera/params.py": (
        Change(
            "ring-without-the-open-epoch",
            "self.posts_per_epoch * (self.retention_epochs + 1)",
            "self.posts_per_epoch * self.retention_epochs",
            of("vectors_params", "a_set_needs_the_pages_that_the_vectors_say"),
        ),
        Change(
            "cohorts-of-twice-as-many",
            "members > _COHORT_MEMBERS << log2",
            "members > 2 * _COHORT_MEMBERS << log2",
            of("vectors_params", "cohorts_are_those_that_the_vectors_say"),
        ),
        Change(
            "key-for-an-epoch-past-the-schedule",
            "not self.first_epoch <= epoch < self.end_epoch:",
            "not self.first_epoch <= epoch <= self.end_epoch:",
            of("vectors_params", "epoch_keys_are_those_of_the_schedule_and_no_others"),
        ),
        Change(
            "noise-table-decreases",
            "            if threshold < last:\n",
            "            if False:\n",
            of("vectors_params", "invalid_sets_are_refused"),
        ),
        Change(
            "set-is-not-verified",
            "        if not curve.verify(self.signature, self.digest, self.root_key):\n",
            "        if False:\n",
            of("parameterstore", "a_set_that_is_not_signed_or_altered_behind_its_signature_is_refused"),
        ),
        Change(
            "rest-of-a-set-is-not-looked-at",
            'if tagged("params-rest", memoryview(blob)[FIRST_BYTES : self._columns_at]) != self.rest_hash:',
            "if False:",
            of("push", "a_set_with_any_byte_changed_is_refused_and_changes_nothing"),
        ),
        Change(
            "columns-of-a-set-are-not-looked-at",
            "if [relay.column_hash for relay in relays] != hashes:",
            "if False:",
            of("push", "a_set_with_any_byte_changed_is_refused_and_changes_nothing"),
        ),
        Change(
            "reading-key-of-another-hash",
            "if reading_hash(key) == self.reading_hash:",
            "if True:",
            of("vectors_params", "a_relay_takes_what_is_valid_on_it_and_nothing_else"),
        ),
    ),
    "firmware/tessera/release.py": (
        Change(
            "release-is-not-verified",
            "        if not curve.verify(self.blob[-_SIGNATURE_BYTES:], message, root_key):\n",
            "        if False:\n",
            of("vectors_release", "a_changed_byte_is_refused"),
        ),
    ),
    "firmware/tessera/wire.py": (
        Change(
            "answer-tells-what-stood-there-before",
            '    struct.pack_into("255s", buffer, 0, b"")\n    buffer[0] = kind\n',
            "    buffer[0] = kind\n",
            of("vectors_channel", "answers_are_built_and_read_as_in_the_vectors"),
        ),
        Change(
            "cell-tells-what-stood-there-before",
            '        struct.pack_into("240s", buffer, CELL_HEADER_BYTES + records * RECORD_BYTES, b"")\n',
            "",
            of("vectors_batch", "what_a_frame_does_not_fill_is_zeros"),
        ),
        Change(
            "cell-of-five-records",
            "    if records > RECORDS_PER_FRAME:\n",
            "    if False:\n",
            of("vectors_channel", "a_cell_of_more_records_than_fit_and_unknown_answers_are_bad_frames"),
        ),
    ),
}
