"""Mutants of the host package: what is saved before it is sent, whom a member and an auditor believe, how much anybody
may have, what is erased."""

from tests.mutants.mutant import Change, Changes, tests_in

of = tests_in("host")

_MEMBER = "host/tessera_host/member"
_PROTOCOL = "host/tessera_host/protocol"
_KEYS = "host/tessera_host/keys"
_AGENT = "host/tessera_host/agent"
_ISSUER = "host/tessera_host/issuer"
_CLUSTER = "host/tessera_host/cluster"

CHANGES: Changes = {
    # -- what a member sends and how much of it
    f"{_MEMBER}/accountant.py": (
        Change(
            "record-counts-for-12-hours",
            "from ..duration import DAY_SECONDS\n",
            "DAY_SECONDS = 43200\n",
            of("accountant", "a_day_is_24_hours"),
        ),
        Change(
            "record-counts-a-second-too-long",
            "recent = sorted(time for time in self._times if time > now - DAY_SECONDS)",
            "recent = sorted(time for time in self._times if time >= now - DAY_SECONDS)",
            of("accountant", "a_record_counts_for_24_hours"),
        ),
        Change(
            "one-record-too-many-a-day",
            "return now if len(recent) < allowed else recent[len(recent) - allowed] + DAY_SECONDS",
            "return now if len(recent) <= allowed else recent[len(recent) - allowed] + DAY_SECONDS",
            of("accountant", "next_one_fits_when_enough_have_aged"),
        ),
        Change(
            "parameters-that-changed-count-as-the-better-ones",
            "epsilon = max(int(one.epsilon) for one in governing) * noise.EPSILON_UNIT",
            "epsilon = min(int(one.epsilon) for one in governing) * noise.EPSILON_UNIT",
            of("accountant", "parameters_that_changed_within_the_day_count_as_the_worse_ones"),
        ),
        Change(
            "a-relay-that-refuses-uses-up-the-day",
            "budget.left > 0 and self.share_at(budget, now, relay) <= now",
            "budget.left > 0",
            of("copies_hostile", "a_relay_that_refuses_every_record_leaves_the_others_their_part_of_the_day"),
        ),
        Change(
            "clock-set-back-gives-another-post",
            "self._federation.round_at(time) >= self._federation.round_at(now)",
            "self._federation.round_at(time) == self._federation.round_at(now)",
            of("accountant", "a_clock_set_back_forgets_nothing"),
        ),
    ),
    f"{_MEMBER}/pacing.py": (
        Change(
            "what-waits-for-one-relay-alone-is-said-to-leave-at-once",
            "(max(free, share_at(budget, now, spent)) for free, spent in relays)",
            "(free for free, spent in relays)",
            of("copies", "what_waits_for_a_relay_alone_leaves_when_that_may_have_more_of_the_day"),
        ),
        Change(
            "posts-beyond-the-days-budget",
            "    if following > now:\n",
            "    if False:\n",
            of("client", "the_day_s_budget_ends_a_send_and_says_what_is_left"),
        ),
        Change(
            "all-parts-in-one-round",
            "    if free <= member.round():\n",
            "    if True:\n",
            of("client", "parts_leave_in_rounds_of_their_own_and_progress_is_told"),
        ),
        Change(
            "next-part-at-the-rounds-first-second",
            " - now + a_round(member, rng), ROUND)",
            " - now, ROUND)",
            of("client", "the_next_part_leaves_at_any_moment_of_the_next_round"),
        ),
    ),
    f"{_MEMBER}/ledger.py": (
        Change(
            "record-without-an-answer-is-in-one-round",
            "open_round + 1))",
            "open_round))",
            of("ledger", "a_record_without_an_answer_may_be_in_the_next_round_too"),
        ),
    ),
    f"{_MEMBER}/sending.py": (
        Change(
            "no-settle-time-before-a-post",
            "                await delay.done()\n",
            "",
            of("engine", "every_slots_frame_leaves_a_settle_time_after_the_answer_before_it"),
        ),
        Change(
            "record-is-sealed-and-not-saved",
            "        state.ledger.take(*cell)\n        state.save()\n        return record\n",
            "        state.ledger.take(*cell)\n        return record\n",
            of("member", "chain_and_record_are_on_disk_before_the_first_byte_leaves"),
        ),
        Change(
            "record-is-not-counted",
            "        state.accountant.spend(Departure(state.now(), *cell, session.parameters.digest))\n",
            "",
            of("engine", "the_day_s_budget_holds_and_what_is_left_waits"),
        ),
        Change(
            "slot-without-a-part-sends-nothing",
            "                await session.connection.void()\n",
            "",
            of("engine", "a_round_has_one_small_frame_after_the_greeting_and_one_fetch"),
        ),
        Change(
            "slot-posts-beyond-the-budget",
            "if may_post and session.token.left != 0 else None",
            "if session.token.left != 0 else None",
            of("engine", "the_day_s_budget_holds_and_what_is_left_waits"),
        ),
        Change(
            "acknowledgement-of-another-time-is-believed",
            "        if abs(open_round - session.info.open_round) > CLOCK_ROUNDS:\n",
            "        if False:\n",
            of("member", "acknowledgement_of_another_time_is_refused_and_one_message_is_one_attempt"),
        ),
        Change(
            "record-in-the-next-epoch-counts-as-read",
            "        if state.federation.epoch_of(open_round) != session.token.epoch:\n",
            "        if False:\n",
            of("member", "record_acknowledged_in_the_next_epoch_is_posted_again"),
        ),
        Change(
            "posted-part-is-not-saved",
            "        state.history.posted(item.contact, item.part, open_round)\n        state.save()\n",
            "        state.history.posted(item.contact, item.part, open_round)\n",
            of("member", "acknowledged_record_is_known_to_be_posted_after_a_crash"),
        ),
        Change(
            "two-posts-at-once",
            "        async with self._posting[relay.id]:\n            self._put_back()\n            while any",
            "        if True:\n            self._put_back()\n            while any",
            of("member", "two_sends_at_once_do_not_use_an_index_twice"),
        ),
        Change(
            "cell-with-a-record-takes-another",
            "            if state.ledger.free_from(relay, self._bucket_of(item, session)) <= open_round:\n",
            "            if True:\n",
            of("ledger", "a_round_that_is_open_still_by_the_relay_s_clock_gets_no_second_record"),
        ),
        Change(
            "hold-after-a-restore-is-not-asked",
            "        state.hold.check(epoch)\n",
            "",
            of("backup", "nothing_is_sent_in_the_epoch_of_the_restore"),
        ),
    ),
    f"{_MEMBER}/fixed_delay.py": (
        Change(
            "settle-time-is-nothing",
            "        await self._sleep(max(0.0, self._end - self._monotonic()))\n",
            "        await self._sleep(0.0)\n",
            of("engine", "every_slots_frame_leaves_a_settle_time_after_the_answer_before_it"),
        ),
    ),
    f"{_MEMBER}/outbox.py": (
        Change(
            "index-that-nobody-looks-for",
            "        if chain.index >= limit:\n",
            "        if chain.index > limit:\n",
            of("member", "index_the_recipient_would_not_look_for_is_not_used"),
        ),
        Change(
            "record-for-a-blocked-contact-leaves",
            "return not self._contacts[item.contact].blocked",
            "return True",
            of("member", "what_waits_for_a_blocked_contact_stays"),
        ),
        Change(
            "message-number-is-used-twice",
            "        self._contacts[name].next_message = parts[-1].message + 1\n",
            "        self._contacts[name].next_message = parts[-1].message\n",
            of("member", "texts_arrive_once_in_order_byte_for_byte"),
        ),
    ),
    # -- what a member reads
    f"{_MEMBER}/fetching.py": (
        Change(
            "no-fetch-when-nothing-is-new",
            "                            state.inbox.pointers.go_back_to(end - 1, [relay.id])\n",
            "                            pass\n",
            of("engine", "a_round_has_its_fetch_also_when_nothing_is_new"),
        ),
        Change(
            "no-settle-time-before-a-fetch",
            "                    await delay.done()\n",
            "",
            of("engine", "every_slots_frame_leaves_a_settle_time_after_the_answer_before_it"),
        ),
        Change(
            "settle-time-of-a-fetch-begins-before-the-answer",
            "                    batches = await self._next(reading, end)\n                delay.begin()\n",
            "                    batches = await self._next(reading, end)\n",
            of("engine", "every_slots_frame_leaves_a_settle_time_after_the_answer_before_it"),
        ),
        Change(
            "what-was-read-is-not-saved",
            "            report.rounds.append((batch.round, len(batch.records)))\n        self._state.save()\n",
            "            report.rounds.append((batch.round, len(batch.records)))\n",
            of("member", "interrupted_fetch_goes_on_and_gives_every_message_once"),
        ),
        Change(
            "fetch-that-was-cut-asks-for-as-much",
            "            self._most_rounds[relay.id] = max(1, most // 2)\n",
            "",
            of("engine", "a_fetch_that_was_cut_asks_for_fewer_rounds_until_it_gets_on"),
        ),
        Change(
            "fetch-over-the-end-of-an-epoch",
            "min(start + most, end, state.federation.first_round(epoch + 1))",
            "min(start + most, end)",
            of("member", "fetch_asks_for_at_most_16_rounds_of_one_epoch"),
        ),
        Change(
            "bucket-is-that-of-the-newest-set-that-has-begun",
            "        return self._named(relay, epoch) or self._state.federation.governing(epoch)\n",
            "        return self._state.federation.governing(epoch)\n",
            of("member", "bucket_is_that_of_the_set_the_relay_named_for_an_epoch"),
        ),
        Change(
            "relay-that-serves-nothing-is-no-error",
            "        if not batches:\n            raise RelayRefused",
            "        if False:\n            raise RelayRefused",
            of("member", "relay_that_serves_fewer_rounds_than_it_says_is_refused"),
        ),
    ),
    f"{_MEMBER}/pointers.py": (
        Change(
            "relay-that-took-anothers-place-goes-on-where-that-ended",
            "        pointer.next_round = min(pointer.next_round, self._federation.first_round(min(listing)))\n",
            "",
            of("member", "relay_that_took_anothers_place_is_read_from_its_beginning_and_gets_what_that_may_have_lost"),
        ),
        Change(
            "keys-go-with-the-fastest-relay",
            "            if any(self[id_].next_round < end for",
            "            if all(self[id_].next_round < end for",
            of("copies", "keys_stay_until_the_slowest_relay_was_read"),
        ),
        Change(
            "rounds-that-nobody-keeps-are-asked-for",
            "            pointer.next_round = max(pointer.next_round, first_kept)\n",
            "            pass\n",
            of("member", "expired_rounds_are_counted_and_skipped"),
        ),
    ),
    f"{_MEMBER}/copies.py": (
        Change(
            "copy-at-a-relay-that-was-replaced-counts",
            "self._keys.get(place.relay) == place.key and",
            "place.relay in self._keys and",
            of("copies", "a_part_is_sent_again_to_a_relay_in_anothers_place_before_what_is_newer"),
        ),
        Change(
            "copy-where-the-recipient-does-not-look-counts",
            "        return place.relay in self._readers[item.contact, epoch]\n",
            "        return True\n",
            of("copies_hostile", "a_copy_where_the_recipient_does_not_look_is_none"),
        ),
        Change(
            "one-copy-is-safe",
            "        return self._wanting(item) == 0\n",
            "        return bool(self.alive(item))\n",
            of("copies", "what_one_relay_lacks_waits_for_it_and_is_shown_no_second_time"),
        ),
        Change(
            "after-a-change-of-order-one-relay-is-offered-a-part",
            "        return lacking if self._wanting(item) else []\n",
            "        return lacking[: self._wanting(item)]\n",
            of("copies_hostile", "after_a_change_of_order_a_relay_that_is_away_holds_up_no_other_that_lacks_a_part"),
        ),
    ),
    f"{_MEMBER}/meeting.py": (
        Change(
            "what-was-shown-is-sent-again-under-new-keys",
            "    member.history.gave_up(member.posted.take_new_keys(named[0]))\n",
            "",
            of("copies_hostile", "what_was_shown_is_not_shown_again_under_new_keys"),
        ),
    ),
    f"{_MEMBER}/posted.py": (
        Change(
            "what-waits-for-a-relay-that-is-away-waits-for-ever",
            "        for items in (self._items, self._outbox):\n",
            "        for items in (self._items,):\n",
            of("copies_hostile", "what_waits_for_a_relay_waits_as_long_as_another_keeps_it"),
        ),
        Change(
            "what-is-sent-again-comes-last",
            "_in_order([*back, *(each for each in self._outbox if id(each) not in moved)])",
            "[*(each for each in self._outbox if id(each) not in moved), *back]",
            of("copies", "a_part_is_sent_again_to_a_relay_in_anothers_place_before_what_is_newer"),
        ),
    ),
    f"{_MEMBER}/inbox.py": (
        Change(
            "epoch-keeps-as-few-keys-as-it-had",
            "            for epoch in [*chain.steps, *range(chain.epoch, last_epoch + 1)]:\n",
            "            for epoch in range(chain.epoch, last_epoch + 1):\n",
            of("copies", "a_recipient_who_hears_of_more_copies_late_opens_all_that_was_posted"),
        ),
        Change(
            "rounds-are-not-read-again-with-more-keys",
            "                if chain.derive(epoch, most[epoch]):\n",
            "                if chain.derive(epoch, most[epoch]) and False:\n",
            of("copies", "a_recipient_who_hears_of_more_copies_late_opens_all_that_was_posted"),
        ),
        Change(
            "gaps-are-waited-for-one-after-another",
            "        message.closing, message.since = None, self._own_round\n",
            "        message.closing = None\n",
            of("copies", "several_gaps_are_waited_for_at_once"),
        ),
        Change(
            "keys-of-a-record-stay",
            "        contact.receive.erase(expected.epoch, expected.index)\n",
            "",
            of("member", "keys_of_a_record_that_was_read_are_erased"),
        ),
        Change(
            "forged-record-burns-the-true-ones-keys",
            "        except IntegrityError:\n            return None\n        if closing",
            "        except IntegrityError:\n"
            "            contact.receive.erase(expected.epoch, expected.index)\n"
            "            return None\n"
            "        if closing",
            of("member", "keys_outlive_a_forgery_read_in_an_earlier_fetch"),
        ),
        Change(
            "relays-word-erases-keys",
            "epoch = self.pointers.unread_epoch(own_round)",
            "epoch = self._federation.epoch_of(self.next_round)",
            of("member", "epoch_that_is_over_by_the_relays_clock_alone_keeps_its_keys"),
        ),
        Change(
            "relays-word-skips-rounds",
            "self._federation.first_kept(min(open_round, own_round))",
            "self._federation.first_kept(open_round)",
            of("member", "relay_that_runs_into_the_next_epoch_early_costs_no_key"),
        ),
        Change(
            "blocked-contact-is-read",
            "            if contact.blocked:\n                continue\n            unused",
            "            unused",
            of("cli_contact", "blocked_contact_is_not_heard_and_not_written_to"),
        ),
        Change(
            "lost-messages-are-not-counted",
            "            received.lost += counts * (following - received.next)\n",
            "            received.lost += 0\n",
            of("member", "whole_messages_that_vanished_are_counted"),
        ),
        Change(
            "what-was-counted-as-lost-is-dropped-when-it-comes",
            "        if len(self.pointers.relays()) > 1 and (received.next or not received.resync):",
            "        if waited_for:",
            of("copies_hostile", "what_comes_after_all_that_it_was_counted_as_lost_is_shown"),
        ),
        Change(
            "text-without-an-end-grows",
            "            elif len(received.text) >= CONTINUED_BYTES:\n",
            "            elif False:\n",
            of("member", "a_text_without_an_end_is_read_as_it_comes_and_does_not_grow"),
        ),
        Change(
            "message-of-one-part-that-nobody-signed",
            "        if closing and part.parts == 1 and not _is_signed(contact, closing, part, [part.payload]):\n",
            "        if False:\n",
            of("inbox", "a_record_that_the_contact_did_not_sign_is_passed_over_and_burns_nothing"),
        ),
        Change(
            "message-of-several-parts-that-nobody-signed",
            "        if part.parts > 1 and not _is_signed(contact, closing, part, _payloads(message)):",
            "        if False:",
            of("inbox", "a_message_with_a_part_of_somebody_else_is_dropped_and_reported_as_lost"),
        ),
        Change(
            "part-that-nobody-signed-gives-up-what-came-before",
            "    return len(message.got) == message.parts and message.closing is None\n",
            "    return len(message.got) == message.parts or message.closing is not None\n",
            of("inbox", "what_is_not_whole_moves_nothing"),
        ),
        Change(
            "begun-messages-pile-up",
            "        for number in begun[:-BEGUN_MESSAGES]:\n",
            "        for number in begun[:0]:\n",
            of("inbox", "messages_that_are_begun_do_not_pile_up"),
        ),
        Change(
            "what-comes-after-a-gap-is-shown-at-once",
            "                if self._is_waited_for(received, number):\n",
            "                if False:\n",
            of("copies", "what_comes_after_a_gap_waits_for_two_rounds_and_what_was_missing_is_shown_late_once"),
        ),
        Change(
            "what-one-relay-lacks-is-lost",
            "        return [relay for relay in relays if received.seen.get(relay, -1) < following]\n",
            "        return []\n",
            of("copies", "a_relay_that_hides_a_message_makes_nobody_believe_that_it_is_lost"),
        ),
        Change(
            "a-relay-in-anothers-place-has-had-what-that-had",
            "                del contact.received.seen[relay]\n",
            "                pass\n",
            of("copies", "a_relay_in_anothers_place_has_not_had_what_that_had"),
        ),
        Change(
            "what-was-shown-stays-unread",
            "            entry.unread &= (entry.contact, entry.message, entry.round) not in given_out\n",
            "            pass\n",
            of("client", "a_message_and_a_file_arrive_as_they_come"),
        ),
    ),
    f"{_MEMBER}/views.py": (
        Change(
            "split-view-is-no-alarm",
            "                contact.split, contact.views = SplitView(min(split), False), []\n",
            "                pass\n",
            of("views", "an_issuer_that_gives_two_members_different_sets_is_noticed_by_both"),
        ),
        Change(
            "alarm-before-the-member-was-renewed",
            "each.reached is not None and epoch > each.reached]",
            "each.reached is not None]",
            of("views", "two_sets_of_one_serial_are_noticed_by_both_after_an_epoch"),
        ),
        Change(
            "alarm-while-no-relay-is-reached",
            "                    each.reached = epoch\n",
            "                    each.reached = each.read + 1\n",
            of("views", "what_passes_while_no_relay_is_reached_does_not_count"),
        ),
        Change(
            "who-is-behind-raises-an-alarm",
            "epoch < min(following) + ahead\n",
            "epoch < min(following)\n",
            of("views", "who_is_behind_for_longer_than_tokens_last_is_noticed"),
        ),
        Change(
            "who-is-behind-for-good-is-believed",
            "        return not following or epoch < min(following) + ahead\n",
            "        return True\n",
            of("views", "who_is_behind_for_longer_than_tokens_last_is_noticed"),
        ),
        Change(
            "set-that-came-and-went-raises-an-alarm",
            "if not self._is_another_unknown(each.epoch)]",
            "if True]",
            of("views", "a_set_that_was_missed_is_no_alarm_while_somebody_may_be_behind"),
        ),
        Change(
            "set-that-came-and-went-governs-by-another",
            "        return newest.digest if missed else begun[-1].digest\n",
            "        return begun[-1].digest\n",
            of("views", "somebody_back_after_weeks_who_holds_no_set_that_has_begun_names_the_newest"),
        ),
        Change(
            "sets-are-forgotten-too-soon",
            "        first = max(0, epoch - kept)\n",
            "        first = epoch + 1\n",
            of("views", "a_set_is_remembered_as_long_as_a_record_under_it_can_be_read_and_no_longer"),
        ),
        Change(
            "sets-are-never-forgotten",
            "        self._forget_sets(epoch)\n",
            "",
            of("views", "a_set_is_remembered_as_long_as_a_record_under_it_can_be_read_and_no_longer"),
        ),
        Change(
            "open-views-pile-up",
            "and len(contact.views) < KEPT_VIEWS and",
            "and",
            of("views", "open_views_do_not_pile_up"),
        ),
        Change(
            "alarm-is-told-again-and-again",
            "            split.told = True\n",
            "            pass\n",
            of("views", "an_alarm_is_told_once_and_stands_until_new_keys"),
        ),
    ),
    f"{_MEMBER}/state.py": (
        Change(
            "views-are-not-looked-at-again",
            "        self.views.look(self.federation.epoch_of(self.newest_round))\n",
            "",
            of("views", "an_issuer_that_gives_two_members_different_sets_is_noticed_by_both"),
        ),
    ),
    # -- whom a member believes
    f"{_MEMBER}/relay_sessions.py": (
        Change(
            "relay-two-rounds-off-is-believed",
            "        if abs(open_round - own) > CLOCK_ROUNDS:\n",
            "        if abs(open_round - own) > CLOCK_ROUNDS + 1:\n",
            of("member", "relay_more_than_a_round_off_is_refused"),
        ),
        Change(
            "first-round-of-a-relay-is-believed",
            "        if info.first_round != self._state.federation.first_kept(open_round):\n",
            "        if False:\n",
            of("member", "first_round_that_does_not_follow_from_the_open_one_is_refused_and_no_key_is_erased"),
        ),
        Change(
            "relay-hands-out-other-parameters-than-it-names",
            'tell IT").digest != info.newest_digest:\n',
            'tell IT").digest == bytes(32):\n',
            of("member", "relay_that_hands_out_other_parameters_than_it_names_is_refused"),
        ),
        Change(
            "rounds-are-not-checked",
            "        info = await self._info_in_time(connection)\n        self._check_rounds(info)\n",
            "        info = await self._info_in_time(connection)\n",
            of("member", "relay_more_than_a_round_off_is_refused"),
        ),
        Change(
            "resumption-secret-is-shown-before-it-is-spent-on-disk",
            "            token.resumed(following)\n            self._state.save()\n",
            "            token.resumed(following)\n",
            of("member", "resumption_secret_is_spent_on_disk_before_it_is_shown"),
        ),
        Change(
            "relay-gives-a-token-more-posts",
            "    if posts_left > parameters.posts_per_token:\n",
            "    if False:\n",
            of("member", "relay_that_gives_a_token_more_posts_than_it_has_is_refused"),
        ),
        Change(
            "session-of-an-epoch-that-is-over",
            "        if key_of(token) == self._key(greeted, relay):\n",
            "        if True:\n",
            of("member", "session_that_was_resumed_in_an_epoch_that_is_over_is_not_used"),
        ),
        Change(
            "old-settings-are-posted-under-for-ever",
            "        if info.newest_serial < federation.expected(federation.epoch_of(info.open_round)).serial:\n",
            "        if False:\n",
            of("member", "from_an_epoch_after_a_set_is_in_force_nothing_is_posted_to_a_relay_that_has_not_taken_it"),
        ),
        Change(
            "newest-set-is-kept-to-oneself",
            "        if info.newest_serial < self._state.federation.newest.serial and await",
            "        if False and await",
            of("member", "newer_parameters_are_brought_to_a_relay_which_then_goes_by_them"),
        ),
        Change(
            "only-the-newest-access-key-is-tried",
            "        for access_key in dict.fromkeys(newest_first):\n",
            "        for access_key in newest_first[:1]:\n",
            of("member", "relay_that_is_two_access_keys_behind_or_ahead_is_reached_with_a_key_that_was_kept"),
        ),
        Change(
            "sentence-about-a-token-of-its-own-epoch-is-not-said",
            "            if token.left is None and token.early:\n",
            "            if False:\n",
            of("member", "sentence_is_said_once_before_a_token_of_its_own_epoch_is_used"),
        ),
    ),
    f"{_MEMBER}/contacts.py": (
        Change(
            "what-was-missing-when-a-contact-was-blocked-is-lost",
            "                each.counts = False\n",
            "                pass\n",
            of("copies_hostile", "what_was_missing_when_a_contact_was_blocked_is_not_lost"),
        ),
        Change(
            "answer-of-anybody",
            '        _check_signature(answer["sig"], first, answer["key"])\n',
            "",
            of("contacts", "changed_answer_is_refused"),
        ),
        Change(
            "confirm-of-anybody",
            '        _check_signature(confirm["sig"], second, invite["key"])\n',
            "",
            of("contacts", "changed_confirm_is_refused"),
        ),
        Change(
            "inviter-chooses-its-key-after-the-answer",
            '        if commitment(confirm["x"], confirm["nonce"]) != invite["commit"]:\n',
            "        if False:\n",
            of("contacts", "inviter_that_chooses_its_key_after_the_answer_is_refused"),
        ),
        Change(
            "rekey-by-anybody",
            '        if rekey and peer["key"] != self.get(name).key:\n',
            "        if False:\n",
            of("contacts", "new_keys_are_for_the_identity_that_was_met_and_nobody_takes_a_contacts_place"),
        ),
        Change(
            "one-identity-is-two-contacts",
            '            if contact.key == peer["key"] and not (rekey and known == name):\n',
            "            if False:\n",
            of("contacts", "one_key_is_one_contact"),
        ),
        Change(
            "own-card-is-taken",
            '        if peer["key"] == self._identity.key:\n',
            "        if False:\n",
            of("contacts", "own_cards_are_refused"),
        ),
        Change(
            "words-do-not-cover-the-parameters",
            'hashes.tagged("contact-words", self.transcript + digest)',
            'hashes.tagged("contact-words", self.transcript)',
            of("contacts", "words_cover_the_parameter_digest"),
        ),
        Change(
            "both-directions-under-one-root",
            "        sending, receiving = met.roots()\n",
            "        sending, receiving = (met.roots()[0],) * 2\n",
            of("contacts", "both_sides_hold_the_same_words_and_opposite_chains"),
        ),
        Change(
            "new-contact-is-verified",
            "            verified=False,\n",
            "            verified=True,\n",
            of("contacts", "contact_is_unverified_until_it_is_said_to_be"),
        ),
        Change(
            "contact-of-another-federation",
            '        if invite["federation"] != self._federation.id:\n',
            "        if False:\n",
            of("contacts", "another_federation_is_refused"),
        ),
        Change(
            "meeting-is-used-again",
            '        del self._state.invites[answer["invite"]]\n',
            "",
            of("contacts", "two_answers_to_one_invite_make_one_contact"),
        ),
        Change(
            "rekey-begins-message-numbers-anew",
            "next_message=before.next_message if before else 0,",
            "next_message=0,",
            of("contacts", "the_one_who_was_met_gets_new_keys_and_message_numbers_go_on"),
        ),
    ),
    f"{_MEMBER}/backup.py": (
        Change(
            "nothing-holds-after-a-restore",
            "    data.hold = HoldState(now)\n",
            "",
            of("backup", "nothing_is_sent_in_the_epoch_of_the_restore"),
        ),
        Change(
            "resumptions-of-a-backup-are-shown",
            "        token.resume = None\n",
            "        pass\n",
            of("backup", "sessions_are_not_taken_up_again"),
        ),
        Change(
            "backup-has-a-whole-day-left",
            "    Accountant(data.departures, federation).use_up(now)\n",
            "",
            of("backup", "day_s_budget_counts_as_used"),
        ),
        Change(
            "numbers-of-a-backup-go-on",
            "        contact.next_message = max(contact.next_message, first_message(epoch))\n",
            "",
            of("backup", "numbers_of_two_restores_of_one_backup_do_not_meet"),
        ),
        Change(
            "meetings-of-a-backup-go-on",
            "    data.contacts.invites, data.contacts.answers = {}, {}\n",
            "",
            of("backup", "meetings_under_way_are_dropped"),
        ),
    ),
    f"{_MEMBER}/hold.py": (
        Change(
            "hold-ends-an-epoch-early",
            "self._state.epoch = self._federation.epoch_of(open_round + RELAYS_APART_ROUNDS) + 1",
            "self._state.epoch = self._federation.epoch_of(open_round + RELAYS_APART_ROUNDS)",
            of("backup", "nothing_is_sent_in_the_epoch_of_the_restore"),
        ),
        Change(
            "last-rounds-of-an-epoch-do-not-count-to-the-next",
            "self._state.epoch = self._federation.epoch_of(open_round + RELAYS_APART_ROUNDS) + 1",
            "self._state.epoch = self._federation.epoch_of(open_round) + 1",
            of("backup", "last_rounds_of_an_epoch_count_to_the_next"),
        ),
    ),
    f"{_MEMBER}/wallet.py": (
        Change(
            "token-of-any-generation-is-used",
            "        return [token for token in self._state.tokens if key_of(token) == key]\n",
            "        return [token for token in self._state.tokens if key_of(token)[1:] == key[1:]]\n",
            of("tokens", "tokens_of_another_epoch_relay_or_generation_are_not_used"),
        ),
        Change(
            "token-that-does-not-verify-is-taken",
            "            if key and curve.verify(signature, self._message(parameters, epoch, relay, secret), key):\n",
            "            if key:\n",
            of("tokens", "token_under_a_key_that_was_replaced_meanwhile_is_refused"),
        ),
        Change(
            "token-under-a-key-that-is-gone-is-taken",
            "                if key == self._epoch_key(newest, epoch, relay):\n",
            "                if key:\n",
            of("tokens", "token_under_a_key_that_was_replaced_meanwhile_is_refused"),
        ),
        Change(
            "tokens-of-a-relay-that-is-gone-are-tried",
            "        gone = set(ids)\n",
            "        gone: set[int] = set()\n",
            of("member", "a_relay_in_anothers_place_is_written_to_and_read_in_the_same_epoch"),
        ),
        Change(
            "offer-is-taken-twice",
            '        self._state.requests.pop(offer["request"], None)\n',
            "",
            of("tokens", "offer_and_answer_serve_once"),
        ),
        Change(
            "answer-is-taken-twice",
            '        del self._state.sessions[answer["session"]]\n',
            "",
            of("tokens", "offer_and_answer_serve_once"),
        ),
        Change(
            "old-tokens-stay",
            "        state.tokens = [token for token in state.tokens if token.epoch >= epoch]\n",
            "",
            of("tokens", "old_epochs_are_erased"),
        ),
        Change(
            "one-token-for-several-blindings",
            "secret = blind.even_secret(blind.random_scalar())\n        key = self._epoch_key",
            "secret = blind.even_secret(7)\n        key = self._epoch_key",
            of("tokens", "tokens_verify_under_the_key_of_their_epoch_and_relay_only"),
        ),
    ),
    f"{_MEMBER}/token_exchange.py": (
        Change(
            "token-card-goes-out-before-it-is-saved",
            "member.epoch(), member.now())\n        member.save()\n",
            "member.epoch(), member.now())\n",
            of("token_exchange", "no_token_is_lost_whatever_is_lost_on_the_way"),
        ),
    ),
    f"{_MEMBER}/joining.py": (
        Change(
            "invitations-secret-stays-with-the-member",
            "        member.joining.card = None\n",
            "        pass\n",
            of("joining", "an_invitation_is_all_it_takes"),
        ),
        Change(
            "office-with-another-root-key-is-joined",
            "        invitation.check(federation)\n        home = invitation.home\n",
            "        home = invitation.home\n",
            of("joining", "an_office_with_another_root_key_is_not_joined"),
        ),
        Change(
            "expired-invitation-makes-an-identity",
            "    if invitation.until < now:\n",
            "    if False:\n",
            of("joining", "an_expired_invitation_makes_nothing"),
        ),
        Change(
            "another-invitation-takes-an-identity-over",
            "    if member.joining is None or member.joining.invitation != invitation.id:\n",
            "    if False:\n",
            of("joining", "another_invitation_does_not_touch_an_identity"),
        ),
    ),
    f"{_MEMBER}/joining_files.py": (
        Change(
            "request-that-lay-for-a-day-is-shown",
            "REQUEST_SECONDS = 12 * 3600",
            "REQUEST_SECONDS = 24 * 3600",
            of("joining", "a_request_that_lay_for_half_a_day_is_made_anew"),
        ),
    ),
    f"{_MEMBER}/renewal.py": (
        Change(
            "set-without-its-card-draws-no-visit",
            "        if lacks_a_card(member) and member.federation.heard_of.serial > kept.heard:\n",
            "        if False:\n",
            of("renewal", "a_set_that_came_without_its_card_draws_one_visit_for_it_before_it_governs"),
        ),
        Change(
            "renewal-at-a-fixed-moment",
            "        kept.due = int(self._rng.uniform(now, now + self._epoch_seconds()))\n",
            "        kept.due = now\n",
            of("renewal", "the_moment_is_uniform_over_the_epoch_after_a_visit"),
        ),
        Change(
            "visit-that-failed-is-not-made-again",
            "        except TesseraError:\n            self._failed()\n",
            "        except TesseraError:\n            self.answered()\n",
            of("renewal", "a_visit_that_fails_is_made_again_in_the_same_epoch_and_hardly_ever_at_once"),
        ),
    ),
    f"{_MEMBER}/sharing.py": (
        Change(
            "keystore-is-kept-between-two-steps",
            "            if self._users == 0:\n                self._member.release()\n",
            "            pass\n",
            of("client", "the_keystore_is_free_between_two_calls"),
        ),
    ),
    "host/tessera_host/threads.py": (
        Change(
            "thread-is-left-behind",
            "        while not running.done():\n",
            "        while False:\n",
            of("threads", "who_is_cancelled_again_and_again_ends_after_the_thread"),
        ),
    ),
    # -- the agent
    f"{_AGENT}/engine.py": (
        Change(
            "slot-without-a-deadline",
            "                async with self._deadline(seconds):\n",
            "                if True:\n",
            of("engine", "a_relay_that_never_finishes_an_answer_costs_its_slot_and_nothing_else"),
        ),
        Change(
            "settle-time-is-not-that-of-the-round",
            "return float(min(DELAY_SECONDS, member.federation.newest.round_seconds / 20))",
            "return 0.0",
            of("engine", "every_slots_frame_leaves_a_settle_time_after_the_answer_before_it"),
        ),
        Change(
            "two-tokens-come-into-use-in-one-round",
            "        if round_ == self._fresh_token_round or not has_come(relay):\n",
            "        if not has_come(relay):\n",
            of("engine", "no_two_tokens_come_into_use_in_one_round"),
        ),
        Change(
            "tokens-come-into-use-with-the-epoch",
            "        if round_ == self._fresh_token_round or not has_come(relay):\n",
            "        if round_ == self._fresh_token_round:\n",
            of("engine", "after_an_epochs_change_tokens_wait_for_their_round"),
        ),
        Change(
            "relay-of-another-epoch-chooses-the-token",
            "            if key.epoch != epoch:\n",
            "            if False:\n",
            of("engine", "a_relay_in_another_epoch_gets_no_token"),
        ),
        Change(
            "slots-to-the-rounds-very-end",
            "return round_, end, moments(now, end, kinds, self._rng, federation.newest.round_seconds)",
            "return round_, end, moments(now, end, kinds, self._rng, 0)",
            of("engine", "no_slot_begins_at_the_end_of_a_round"),
        ),
        Change(
            "trouble-ends-the-engine",
            "            await step\n        except TesseraError as error:\n",
            "            await step\n        except ValueError as error:\n",
            of("engine", "a_lost_relay_is_told_and_the_next_round_goes_on"),
        ),
    ),
    f"{_AGENT}/schedule.py": (
        Change(
            "all-slots-at-once",
            "slots = [Slot(rng.uniform(*part[kind]), kind, relay) for kind, relay in kinds]",
            "slots = [Slot(now, kind, relay) for kind, relay in kinds]",
            of("engine", "moments_are_spread_over_their_part_of_the_round"),
        ),
        Change(
            "slots-at-one-moment-have-no-order",
            "sorted(slots, key=lambda slot: slot.at)",
            "sorted(slots)",
            of("engine", "moments_late_in_a_round_are_not_in_the_past"),
        ),
        Change(
            "every-epoch-has-the-same-schedule",
            'secret + epoch.to_bytes(4, "big")',
            "secret",
            of("engine", "an_epochs_schedule_follows_from_the_members_secret_and_the_epoch"),
        ),
        Change(
            "everybody-has-the-same-schedule",
            'secret + epoch.to_bytes(4, "big")',
            'epoch.to_bytes(4, "big")',
            of("engine", "an_epochs_schedule_follows_from_the_members_secret_and_the_epoch"),
        ),
    ),
    # -- keys on disk and in memory
    f"{_KEYS}/keystore.py": (
        Change(
            "one-nonce-for-every-save",
            "    nonce = secrets.token_bytes(NONCE_BYTES)\n",
            "    nonce = bytes(NONCE_BYTES)\n",
            of("keystore", "every_save_has_its_own_nonce"),
        ),
        Change(
            "one-salt-for-every-keystore",
            "            salt = secrets.token_bytes(SALT_BYTES)\n",
            "            salt = bytes(SALT_BYTES)\n",
            of("keystore", "every_keystore_has_its_own_salt"),
        ),
        Change(
            "saved-file-without-a-sync",
            "        stream.flush()\n        os.fsync(stream.fileno())\n    files.put_in_place",
            "        stream.flush()\n    files.put_in_place",
            of("keystore", "save_syncs_the_file_before_it_replaces_and_the_directory_after"),
        ),
        Change(
            "keystore-without-its-header",
            "AESGCM(key).encrypt(nonce, cbor2.dumps(data), line)",
            "AESGCM(key).encrypt(nonce, cbor2.dumps(data), None)",
            of("keystore", "file_is_what_the_format_says"),
        ),
        Change(
            "what-is-empty-is-saved",
            "        if not self.data:\n",
            "        if False:\n",
            of("keystore", "what_is_empty_is_not_saved"),
        ),
        Change(
            "keystore-is-written-over",
            "            if os.path.lexists(path):\n",
            "            if False:\n",
            of("keystore", "nothing_is_overwritten"),
        ),
        Change(
            "others-read-the-keystore",
            "os.O_TRUNC | files.BINARY, 0o600)",
            "os.O_TRUNC | files.BINARY, 0o644)",
            of("keystore", "only_the_owner_can_read"),
        ),
        Change(
            "keystore-of-another-kind-opens",
            '    if header.get("kind") != kind:\n',
            "    if False:\n",
            of("keystore", "another_kind_is_refused"),
        ),
        Change(
            "planted-file-asks-for-any-amount-of-memory",
            "known = lengths == (SALT_BYTES, NONCE_BYTES) and all(header.get(name) == expected[name] for "
            "name in expected)",
            "known = lengths == (SALT_BYTES, NONCE_BYTES)",
            of("keystore", "costly_parameters_of_a_planted_file_are_not_used"),
        ),
        Change(
            "keystore-that-was-replaced-is-taken-for-the-same",
            '        if header["salt"] != self._salt:\n',
            "        if False:\n",
            of("keystore", "keystore_that_was_replaced_meanwhile_is_not_taken_for_the_same"),
        ),
        Change(
            "closed-keystore-holds-its-key",
            "        self.release()\n        self._key = None\n",
            "        self.release()\n",
            of("keystore", "closed_keystore_holds_nothing"),
        ),
        Change(
            "lock-is-given-back-before-the-data-is-forgotten",
            "            self.data = {}\n            lock.release()  # last",
            "            lock.release()\n            self.data = {}  # last",
            of("keystore", "a_lock_is_given_back_after_everything_else"),
        ),
    ),
    "host/tessera_host/files.py": (
        Change(
            "root-keeps-what-it-writes-for-a-service",
            "        if owner.st_uid != 0:\n",
            "        if False:\n",
            of("systemd", "what_root_writes_into_a_service_s_state_is_the_service_s"),
        ),
        Change(
            "file-without-a-sync",
            "            stream.flush()\n            os.fsync(stream.fileno())\n        put_in_place",
            "            stream.flush()\n        put_in_place",
            of("files", "what_is_written_is_synced_before_it_takes_its_place_and_its_name_after"),
        ),
        Change(
            "rename-without-a-sync",
            "    sync_directory(path.parent)\n",
            "",
            of("files", "what_is_written_is_synced_before_it_takes_its_place_and_its_name_after"),
        ),
        Change(
            "others-read-a-file",
            "os.O_EXCL | BINARY, 0o600)",
            "os.O_EXCL | BINARY, 0o644)",
            of("files", "file_is_for_its_owner_only_and_written_as_bytes"),
        ),
    ),
    f"{_KEYS}/unlocking.py": (
        Change(
            "one-clock-tells-when-a-keys-time-is-over",
            "any(n >= e for n, e in zip(now, ends, strict=True))",
            "all(n >= e for n, e in zip(now, ends, strict=True))",
            of("unlocking", "key_is_kept_for_its_time_by_either_clock"),
        ),
        Change(
            "key-of-a-keystore-that-was-replaced",
            "return found if found.salt == salt_of(keystore) else None",
            "return found",
            of("unlocking", "key_of_a_keystore_that_was_replaced_is_of_no_use"),
        ),
    ),
    f"{_KEYS}/local_socket.py": (
        Change(
            "other-users-are-answered",
            'return peer_user(writer.get_extra_info("socket")) == _user()',
            "return True",
            of("local_socket", "other_user_is_not_answered"),
        ),
        Change(
            "client-without-the-cookie-is-answered",
            'return hmac.compare_digest(proof, hmac.digest(cookie, other + terms, "sha256"))',
            "return True",
            of("local_socket", "client_without_the_cookie_is_not_answered"),
        ),
        Change(
            "others-use-the-sockets-directory",
            "if not stat.S_ISDIR(found.st_mode) or found.st_uid != _user() or found.st_mode & 0o077:",
            "if False:",
            of("local_socket", "directory_that_others_can_use_is_refused"),
        ),
    ),
    # -- formats
    f"{_PROTOCOL}/records.py": (
        Change(
            "record-of-anybody",
            "    return bool(curve.verify(closing.signature, _signed(closing, part, hashed), signer))\n",
            "    return True\n",
            of("records", "a_signature_is_of_the_very_message_its_place_and_its_sender"),
        ),
        Change(
            "view-is-not-signed",
            "_SAID.pack(closing.received, closing.view) + hashed",
            "_SAID.pack(closing.received, bytes(VIEW_BYTES)) + hashed",
            of("records", "a_signature_is_of_the_very_message_its_place_and_its_sender"),
        ),
        Change(
            "contents-without-lengths",
            'b"".join(bytes([len(payload)]) + payload for payload in payloads)',
            'b"".join(payloads)',
            of("records", "contents_tell_where_a_message_was_cut"),
        ),
        Change(
            "view-for-everybody",
            'hashes.hmac_sha256(seed, b"view", digest)',
            'hashes.hmac_sha256(bytes(32), b"view", digest)',
            of("records", "views_and_contents_are_those_of_the_second_implementation"),
        ),
        Change(
            "part-that-there-cannot-be",
            "    if not part.part < part.parts <= MAX_PARTS:\n",
            "    if False:\n",
            of("records", "parts_out_of_range_are_refused"),
        ),
        Change(
            "groups-record-is-read-as-ours",
            "    if part.kind & OF_GROUP:\n        return",
            "    if False:\n        return",
            of("records", "nothing_of_a_groups_record_but_its_head_is_looked_at"),
        ),
        Change(
            "sender-goes-back",
            "        if epoch < self.epoch:\n            raise InvalidInput",
            "        if False:\n            raise InvalidInput",
            of("records", "sender_never_goes_back"),
        ),
        Change(
            "chain-stands-still",
            "        step, self.chain = next_step(self.chain)\n",
            "        step, _ = next_step(self.chain)\n",
            of("records", "receiver_holds_every_step_the_sender_takes"),
        ),
        Change(
            "padding-is-not-looked-at",
            "    if length > len(rest) or any(rest[length:]):\n",
            "    if length > len(rest):\n",
            of("records", "padding_that_is_not_zero_is_refused"),
        ),
        Change(
            "used-keys-stay",
            "self.steps[epoch] = self.steps[epoch][:at] + _USED + self.steps[epoch][at + _STEP.size :]",
            "pass",
            of("records", "the_keys_of_a_record_that_was_received_are_gone_and_no_others"),
        ),
        Change(
            "root-before-stays",
            "            self.root, self.ends[epoch] = next_epoch(self.root)\n",
            "            _, self.ends[epoch] = next_epoch(self.root)\n",
            of("records", "receiver_holds_every_step_the_sender_takes"),
        ),
    ),
    f"{_PROTOCOL}/cards.py": (
        Change(
            "damaged-card-is-read",
            "    if checksum != _checksum(found, payload):\n",
            "    if False:\n",
            of("cards", "a_changed_character_is_noticed"),
        ),
        Change(
            "any-encoding-is-read",
            "        if isinstance(fields, dict) and canonical(fields) == payload:\n",
            "        if isinstance(fields, dict):\n",
            of("cards", "only_the_canonical_encoding_is_read"),
        ),
        Change(
            "card-with-other-fields-is-read",
            '    if fields.keys() != checks.keys() | {"v"}:\n',
            "    if False:\n",
            of("cards", "a_missing_field_is_refused", "fields_that_do_not_fit_are_refused"),
        ),
    ),
    f"{_PROTOCOL}/limits.py": (
        Change(
            "name-leads-out-of-its-folder",
            "    if any(separator in name for separator in SEPARATORS):\n",
            "    if False:\n",
            of("cards", "names_of_people_are_plain_in_every_card"),
        ),
        Change(
            "name-begins-with-a-full-stop",
            '    if name.startswith("."):\n',
            "    if False:\n",
            of("cards", "names_of_people_are_plain_in_every_card"),
        ),
        Change(
            "name-in-two-forms-is-two-people",
            '    if name != unicodedata.normalize("NFC", name):\n',
            "    if False:\n",
            of("cards", "names_of_people_are_plain_in_every_card"),
        ),
    ),
    f"{_PROTOCOL}/topology.py": (
        Change(
            "ring-always-begins-with-the-smallest-number",
            "    if topology.kind == RING:\n",
            "    if topology.kind == RING:\n        return listed\n    if False:\n",
            of("topology", "a_ring_goes_on_from_home_or_from_where_home_was"),
        ),
        Change(
            "mesh-has-one-order-for-all-mailboxes",
            'hashes.tagged("fallback", mailbox + struct.pack(">H", id_))',
            'hashes.tagged("fallback", struct.pack(">H", id_))',
            of("topology", "a_mesh_has_home_first_and_the_others_by_their_hash"),
        ),
    ),
    f"{_PROTOCOL}/federation.py": (
        Change(
            "who-goes-by-the-set-before-is-not-read",
            "        return list(dict.fromkeys([governing, expected, *begun]))\n",
            "        return list(dict.fromkeys([governing, *begun]))\n",
            of("topology", "an_order_holds_for_the_epochs_of_its_set"),
        ),
        Change(
            "who-joined-before-a-set-governs-is-not-read",
            "        return list(dict.fromkeys([governing, expected, *begun]))\n",
            "        return list(dict.fromkeys([governing, expected]))\n",
            of("topology", "who_joined_when_a_set_was_signed_is_read_where_it_posts_by_that_already"),
        ),
        Change(
            "an-older-set-has-the-newest-topology",
            '        return Topology.of(self._cards.get(known.digest, self._said)["topology"])\n',
            '        return Topology.of(self._said["topology"])\n',
            of("topology", "a_change_of_copies_holds_from_the_set_that_says_so"),
        ),
        Change(
            "chains-have-indices-for-one-copy-only",
            "self._copies(known) * known.tokens_per_epoch * known.posts_per_token",
            "known.tokens_per_epoch * known.posts_per_token",
            of("topology", "a_mailbox_is_on_the_first_of_its_order_and_chains_have_as_many_indices_more"),
        ),
        Change(
            "set-of-a-relay-that-is-late-is-forgotten",
            "SETTLING_EPOCHS = 2\n",
            "SETTLING_EPOCHS = 0\n",
            of("member", "the_set_of_a_relay_that_began_while_another_waits_is_kept_until_it_is_over"),
        ),
        Change(
            "set-of-another-root-key-is-adopted",
            'FIXED = ("federation_id", "root_key", ',
            'FIXED = ("federation_id", ',
            of("member", "other_parameters_are_refused_and_change_nothing"),
        ),
        Change(
            "unsigned-set-of-a-relay-is-adopted",
            "        parameters.verify()\n    except InvalidObject",
            "        pass\n    except InvalidObject",
            of("member", "other_parameters_are_refused_and_change_nothing"),
        ),
        Change(
            "two-sets-that-exclude-each-other-are-believed",
            "        if any(contradict(link, candidate) for link in self._state.chain):\n",
            "        if False:\n",
            of("issuer", "two_sets_after_one_are_a_contradiction"),
        ),
        Change(
            "two-sets-of-one-serial-are-no-contradiction",
            "    if earlier.serial == later.serial or earlier.previous == later.previous:\n",
            "    if False:\n",
            of("issuer", "two_sets_after_one_are_a_contradiction"),
        ),
        Change(
            "set-that-names-no-predecessor-of-ours-is-of-the-chain",
            "    return (later.previous == earlier.digest) != (later.serial == earlier.serial + 1)\n",
            "    return False\n",
            of("issuer", "two_sets_after_one_are_a_contradiction"),
        ),
    ),
    f"{_PROTOCOL}/relay_connection.py": (
        Change(
            "records-in-any-order",
            "_expect(len(records) == self._count and records == sorted(records))",
            "_expect(len(records) == self._count)",
            of("relay_connection", "any_other_order_is_refused"),
        ),
        Change(
            "cell-with-a-record-missing",
            "_expect(len(records) == self._count and records == sorted(records))",
            "_expect(records == sorted(records))",
            of("relay_connection", "any_other_order_is_refused"),
        ),
        Change(
            "busy-relay-gets-the-same-record-again",
            "(open_round,) = await self._ask_once(wire.post(bucket, record), wire.ACK)",
            "(open_round,) = await self._ask(wire.post(bucket, record), wire.ACK)",
            of("relay_connection", "a_record_is_sent_once_and_a_busy_relay_is_not_asked_again"),
        ),
        Change(
            "next-secret-is-saved-after-the-old-one-is-shown",
            "            using(resumption.next_secret)\n            return resumption\n",
            "            asyncio.get_running_loop().call_later(0.05, using, resumption.next_secret)\n"
            "            return resumption\n",
            of("relay_connection", "session_is_resumed_and_the_next_secret_known_before_the_old_one_is_shown"),
        ),
        Change(
            "answer-to-another-request",
            "        if answer[0] != wanted:\n",
            "        if False:\n",
            of("relay_connection", "answer_to_another_request_is_refused"),
        ),
        Change(
            "any-version-of-the-protocol-will-do",
            "        if found.version != wire.INFO_VERSION:\n",
            "        if False:\n",
            of("relay_connection", "a_relay_of_another_version_of_the_protocol_is_refused"),
        ),
    ),
    f"{_PROTOCOL}/encrypted_connection.py": (
        Change(
            "one-ephemeral-for-every-connection",
            'ephemeral = blind.random_scalar().to_bytes(32, "big")',
            'ephemeral = (7).to_bytes(32, "big")',
            of("relay_connection", "every_handshake_begins_with_a_key_of_its_own"),
        ),
        Change(
            "relay-that-trickles-has-no-end",
            "            async with asyncio.timeout(seconds):\n                yield\n",
            "            yield\n",
            of("relay_connection", "fetch_that_trickles_has_an_end"),
        ),
    ),
    f"{_PROTOCOL}/parameter_sets.py": (
        Change(
            "two-sets-of-one-serial-are-no-finding",
            "return [[one, other] for one, other in combinations(self, 2) if contradict(one, other)]",
            "return []",
            of("audit", "two_signed_sets_of_one_serial_are_a_finding_against_the_issuer"),
        ),
        Change(
            "sets-are-compared-by-their-serials",
            "        known = self._by_digest.setdefault(found.digest, found)\n",
            "        known = self._by_digest.setdefault(found.digest, found)\n"
            "        for other in [each for each in self._by_digest.values() if each.serial == found.serial][1:]:\n"
            "            del self._by_digest[other.digest]\n",
            of("audit", "two_signed_sets_of_one_serial_are_a_finding_against_the_issuer"),
        ),
        Change(
            "auditor-believes-sets-of-others",
            "        if any(getattr(found, name) != getattr(self._trusted, name) for name in FIXED):\n",
            "        if False:\n",
            of("audit", "parameters_of_others_are_not_taken"),
        ),
        Change(
            "table-is-not-held-against-its-delta",
            "if exact_delta(parameters) * noise.DRAWS > parameters.delta:",
            "if False:",
            of("audit", "a_table_worse_than_it_is_signed_for_is_found"),
        ),
        Change(
            "table-is-not-held-against-its-day",
            "return parameters.cover != DAY or bool(",
            "return True or bool(",
            of("audit", "a_table_that_does_not_keep_its_day_is_found"),
        ),
    ),
    f"{_PROTOCOL}/blind.py": (
        Change(
            "both-clauses-under-one-nonce",
            'return cls(draw().to_bytes(32, "big"), draw().to_bytes(32, "big"))',
            'return cls(*[draw().to_bytes(32, "big")] * 2)',
            of("blind", "the_two_nonces_of_a_session_are_drawn_apart"),
        ),
        Change(
            "bit-is-always-the-same",
            "chosen = secrets.randbits(1) if bit is None else bit",
            "chosen = 0 if bit is None else bit",
            of("blind", "either_clause_is_answered"),
        ),
        Change(
            "answer-that-does-not-fit-is-unblinded",
            "        if PrivateKey(scalar).public_key != expected:\n",
            "        if False:\n",
            of("tokens", "answer_that_does_not_hold_is_refused_as_a_whole") + of("blind"),
        ),
    ),
    f"{_PROTOCOL}/invitation.py": (
        Change(
            "proof-is-not-bound-to-a-key",
            'return hashes.hmac_sha256(secret, b"join", federation_id, key, name.encode())',
            'return hashes.hmac_sha256(secret, b"join", federation_id, name.encode())',
            of("joining", "a_stolen_proof_is_of_no_use_to_another_key"),
        ),
    ),
    f"{_PROTOCOL}/issuer_frames.py": (
        Change(
            "request-of-any-length",
            " and total <= self.most",
            "",
            of("issuer_service", "frames_that_do_not_follow_are_refused"),
        ),
        Change(
            "refusal-acts-on-a-terminal",
            "if not (message + hint).isprintable() or",
            "if",
            of("issuer_service", "refusals_that_are_not_for_a_terminal_are_none"),
        ),
    ),
    # -- the issuer
    f"{_ISSUER}/invitations.py": (
        Change(
            "used-invitation-keeps-its-secret",
            '        self._put(entry | {"key": key, "secret": None})\n',
            '        self._put(entry | {"key": key})\n',
            of("joining", "a_used_invitation_keeps_who_used_it_and_not_its_secret"),
        ),
        Change(
            "invitation-works-twice",
            '        self._put(entry | {"key": key, "secret": None})\n',
            "",
            of("joining", "an_invitation_works_once_and_says_so"),
        ),
        Change(
            "join-card-without-a-proof",
            'if not hmac.compare_digest(fields["proof"], expected) or fields["name"] != name:',
            'if fields["name"] != name:',
            of("joining", "a_changed_join_card_admits_nobody_and_uses_nothing_up"),
        ),
        Change(
            "expired-invitation-admits",
            '        if entry["until"] < now:\n',
            "        if False:\n",
            of("joining", "an_expired_invitation_makes_nothing"),
        ),
        Change(
            "whoever-was-removed-is-admitted-again",
            '            if entry["key"] == key and admitted(key):\n',
            '            if entry["key"] == key:\n',
            of("joining", "who_was_removed_does_not_join_again_by_the_invitation_of_before"),
        ),
        Change(
            "invitations-outlive-a-restored-backup",
            "        for entry in gone:\n            self._delete(entry)\n        return [",
            "        return [",
            of("issuer", "after_a_restored_backup_nobody_joins_with_an_invitation_of_before"),
        ),
    ),
    f"{_ISSUER}/issuance.py": (
        Change(
            "session-is-answered-before-it-is-spent-on-disk",
            "        with self._change():  # nothing of an answer",
            "        if True:  # nothing of an answer",
            of("issuer", "session_is_spent_on_disk_before_anything_of_its_answer_is_said"),
        ),
        Change(
            "session-is-finished-twice",
            '            self._open.delete(fields["session"])\n            answers',
            "            answers",
            of("issuer", "other_challenges_for_an_answered_session_are_refused"),
        ),
        Change(
            "offer-that-was-not-saved-is-made-later",
            "            with self._change():  # what cannot be written",
            "            if True:  # what cannot be written",
            of("issuer", "an_offer_that_was_not_saved_is_not_made_later_either"),
        ),
        Change(
            "old-request-uses-up-a-later-quota",
            "        if self._seen.get(digest) is not None:\n",
            "        if False:\n",
            of("issuer", "the_same_request_gets_the_same_offer_while_it_is_open_and_none_later"),
        ),
        Change(
            "requests-are-forgotten-while-they-are-taken",
            "SEEN_EPOCHS = 3 ",
            "SEEN_EPOCHS = 2 ",
            of("issuer", "an_old_request_is_not_answered_twice_however_late"),
        ),
        Change(
            "session-of-another-member",
            '        if batch["member"] != fields["member"]:\n',
            "        if False:\n",
            of("issuer", "a_member_cannot_use_anothers_session"),
        ),
        Change(
            "five-sessions-are-open",
            "for batch in of_key) + count > OPEN_SESSIONS_PER_KEY:",
            "for batch in of_key) + count > OPEN_SESSIONS_PER_KEY + 1:",
            of("issuer", "at_most_four_sessions_are_open_under_one_key"),
        ),
        Change(
            "sessions-of-other-cohorts-take-places",
            "        cohort = terms.cohort(member)\n",
            "        cohort = 0\n",
            of("issuer", "each_cohort_has_four_sessions_open_under_keys_of_its_own"),
        ),
        Change(
            "answers-under-the-first-cohorts-key",
            'batch["keys"][relay], batch["cohort"])\n',
            'batch["keys"][relay], 0)\n',
            of("issuer", "each_cohort_has_four_sessions_open_under_keys_of_its_own"),
        ),
        Change(
            "one-offer-has-five-sessions-of-a-key",
            "room, OPEN_SESSIONS_PER_KEY)",
            "room)",
            of("issuer", "more_tokens_an_epoch_than_may_be_open_come_in_several_offers"),
        ),
        Change(
            "aborted-sessions-are-free",
            'counts.setdefault(epoch, Counter())[_tag(batch["keys"][relay])] += 1\n',
            'counts.setdefault(epoch, Counter())[_tag(batch["keys"][relay])] += 0\n',
            of("issuer", "quota_counts_aborted_sessions"),
        ),
        Change(
            "roster-that-changes-makes-more-tokens",
            "                room = terms.parameters.members * allowed - of_all.get(epoch, nothing)[key.tag]\n",
            "                room = allowed\n",
            of("issuer", "a_roster_that_changes_does_not_make_more_tokens"),
        ),
        Change(
            "who-had-tokens-of-a-relay-has-none-of-the-one-in-its-place",
            "    return static_key[1 : 1 + _TAG_BYTES]\n",
            "    return bytes(_TAG_BYTES)\n",
            of("issuer", "a_relay_in_anothers_place_is_written_to_in_the_open_epoch"),
        ),
        Change(
            "tokens-of-one-epoch-more",
            "range(current, current + terms.parameters.ahead + 1)",
            "range(current, current + terms.parameters.ahead + 2)",
            of("issuer", "a_visit_has_tokens_for_every_relay_and_the_open_epoch_and_those_ahead"),
        ),
        Change(
            "request-within-12-hours-only",
            "CLOCK_TOLERANCE_SECONDS = DAY_SECONDS",
            "CLOCK_TOLERANCE_SECONDS = DAY_SECONDS // 2",
            of("issuer", "a_request_is_taken_for_24_hours"),
        ),
        Change(
            "request-from-another-day",
            "        if abs(now - made) > CLOCK_TOLERANCE_SECONDS:\n",
            "        if False:\n",
            of("issuer", "a_request_from_another_day_is_refused"),
        ),
        Change(
            "token-card-of-anybody",
            '    if not curve.verify(card.fields["sig"], message, card.fields["member"]):\n',
            "    if False:\n",
            of("issuer", "strangers_and_forged_cards_are_refused_and_change_nothing"),
        ),
        Change(
            "token-card-of-a-stranger",
            '    if not is_member(card.fields["member"]):\n',
            "    if False:\n",
            of("issuer", "strangers_and_forged_cards_are_refused_and_change_nothing"),
        ),
        Change(
            "sessions-outlive-their-generation",
            "        self._open.clear()\n        self._answered.clear()\n",
            "",
            of("issuer", "sessions_are_aborted_before_a_new_generation_is_shown"),
        ),
        Change(
            "counts-of-every-generation-are-kept",
            "        self._charged.keep_part(kept)\n",
            "",
            of("issuer", "an_abandoned_generation_of_a_busy_day_is_nobody_s"),
        ),
        Change(
            "sessions-outlive-a-restored-backup",
            "            table.clear()\n",
            "            pass\n",
            of("issuer_cuts", "what_it_does_is_done_or_not"),
        ),
        Change(
            "tokens-of-a-generation-whose-counts-are-lost",
            'if each.generation > self._data["lost"]]',
            "]",
            of("issuer", "a_restored_backup_answers_nothing_and_goes_on_in_a_new_generation"),
        ),
    ),
    f"{_ISSUER}/store.py": (
        Change(
            "restored-backup-goes-on-as-if-nothing-was",
            '        if self.data["restored"] is not None:\n            return True\n',
            "",
            of("issuer_backup", "a_restored_issuer_says_nothing_before_it_was_told"),
        ),
    ),
    "host/tessera_host/keys/sealed_tables.py": (
        Change(
            "row-passes-for-another",
            '    return b"%s\\0%s%016x%016x" % (table.encode(), row, until, part)\n',
            '    return b"a row"\n',
            of("keystore_database", "a_row_that_somebody_put_in_another_s_place_is_not_believed"),
        ),
        Change(
            "names-of-rows-are-to-be-seen",
            '        return hmac.digest(self._names, table.encode() + b"\\0" + name, "sha256")\n',
            "        return name\n",
            of("keystore_database", "the_file_tells_neither_names_nor_values_and_is_its_owner_s"),
        ),
    ),
    "host/tessera_host/keys/keystore_database.py": (
        Change(
            "issuer-s-keystore-does-not-sync",
            '"synchronous=FULL"',
            '"synchronous=NORMAL"',
            of("keystore_database", "every_change_is_on_the_disk_when_it_ends"),
        ),
        Change(
            "what-failed-is-written-with-the-next-change",
            "            self.data.forget()\n            if self",
            "            if self",
            of("keystore_database", "what_a_change_that_failed_did_is_nowhere")
            + of("issuer", "change_that_cannot_be_saved_leaves_nothing_for_the_next_one_to_save"),
        ),
        Change(
            "replaced-file-goes-unnoticed",
            "            if self._connection is None or _file(self.path) != self._file:\n",
            "            if self._connection is None:\n",
            of("keystore_database", "a_file_that_was_replaced_meanwhile_is_noticed"),
        ),
    ),
    f"{_ISSUER}/sets.py": (
        Change(
            "access-keys-are-good-for-ever",
            '    return entry["replaced"] is None or now < entry["replaced"] + ACCESS_KEY_SECONDS\n',
            "    return True\n",
            of("issuer", "access_keys_work_for_400_days_after_they_were_replaced"),
        ),
        Change(
            "set-that-nobody-took-is-in-force",
            '        started = [each for each in signed if each["since"] <= epoch]\n        return _read(',
            "        started = signed\n        return _read(",
            of("issuer", "an_abandoned_generation_of_a_busy_day_is_nobody_s"),
        ),
        Change(
            "set-that-a-late-relay-has-is-not-said",
            ".retention_epochs + LATE_EPOCHS\n",
            ".retention_epochs\n",
            of("issuer", "until_a_new_generation_begins_there_are_tokens_of_the_one_in_force"),
        ),
    ),
    f"{_ISSUER}/renewal.py": (
        Change(
            "who-was-taken-out-keeps-the-reading-key",
            'data["reading_key"] = signer.reading_key(federation_id, sets.rotations)',
            'data.setdefault("reading_key", signer.reading_key(federation_id, sets.rotations))',
            of("issuer", "whatever_takes_somebody_out_changes_both_keys_and_the_generation"),
        ),
        Change(
            "who-was-taken-out-keeps-the-access-key",
            "    sets.replace_access_key(access_key_of(data, federation_id), now)\n    signer",
            "    signer",
            of("issuer", "whatever_takes_somebody_out_changes_both_keys_and_the_generation"),
        ),
        Change(
            "new-generation-begins-too-soon",
            "present.genesis - now - (seconds + 1) // 2",
            "present.genesis - now",
            of("issuer", "a_new_generation_begins_at_least_half_an_epoch_later"),
        ),
        Change(
            "schedule-is-renewed-when-it-is-over",
            "LEFT_PART = 3 ",
            "LEFT_PART = 90 ",
            of("issuer", "a_schedule_is_renewed_by_itself_when_a_third_is_left"),
        ),
        Change(
            "set-names-no-predecessor",
            "    place = after or (present.serial, present.digest)\n",
            "    place = after or (present.serial, bytes(32))\n",
            of("issuer", "whatever_an_honest_issuer_does_its_sets_are_one_chain"),
        ),
        Change(
            "new-relay-waits-with-the-new-keys",
            "    if change.relay and newest.first_epoch > epoch >= running.first_epoch:\n",
            "    if False:\n",
            of("issuer", "a_new_relay_is_written_to_at_once_also_while_new_keys_wait"),
        ),
    ),
    f"{_ISSUER}/relay_list.py": (
        Change(
            "number-of-a-removed-relay-is-given-again",
            '        id_ = self._state["vacant"].pop(name, None) or self._fresh_id()\n',
            '        id_ = self._state["vacant"].pop(name, None) or 1 + len(self._entries)\n',
            of("issuer", "a_relay_that_was_removed_is_listed_no_more_and_its_number_is_nobodys"),
        ),
    ),
    f"{_ISSUER}/roster.py": (
        Change(
            "member-card-of-anybody",
            '        if not curve.verify(fields["sig"], message, key):\n',
            "        if False:\n",
            of("issuer", "a_card_that_was_changed_or_is_for_another_federation_is_refused"),
        ),
        Change(
            "roster-is-one-too-long",
            "        if len(self) + invited >= most:\n",
            "        if len(self) + invited > most:\n",
            of("issuer", "the_roster_is_no_longer_than_the_plan_says"),
        ),
    ),
    f"{_ISSUER}/service.py": (
        Change(
            "service-does-not-look-at-the-access-key",
            "        access_key = _access_key(hello, nonce, self._access_keys)\n",
            "        access_key = self._access_keys[0]\n",
            of("issuer_service", "who_does_not_hold_the_access_key_hears_nothing_and_costs_no_curve_work"),
        ),
        Change(
            "connection-has-any-number-of-frames",
            "        for _ in range(self._limits.frames):\n",
            "        while True:\n",
            of("issuer_service", "a_connection_has_so_many_frames_and_no_more"),
        ),
        Change(
            "requests-are-answered-side-by-side",
            "        async with self._request:\n            try:\n                answer",
            "        if True:\n            try:\n                answer",
            of("issuer_service", "requests_are_answered_one_at_a_time"),
        ),
        Change(
            "request-ends-with-its-connection",
            "answer = await finished(lambda: self._look_up(talk, kind, body))",
            "answer = await asyncio.to_thread(lambda: self._look_up(talk, kind, body))",
            of("issuer_service", "a_request_outlives_its_connection_and_no_other_begins_before_its_end"),
        ),
        Change(
            "resumption-at-the-issuers-service",
            "        if channel.resumption_id(hello) is not None:\n",
            "        if False:\n",
            of("issuer_service", "a_relay_s_resumption_gets_nowhere"),
        ),
        Change(
            "one-ephemeral-for-the-issuers-service",
            '            secret = blind.random_scalar().to_bytes(32, "big")\n            ephemeral',
            '            secret = (7).to_bytes(32, "big")\n            ephemeral',
            of("issuer_service", "every_handshake_has_a_key_of_its_own"),
        ),
        Change(
            "who-stays-too-long-stays",
            "            async with asyncio.timeout(self._limits.session_seconds):\n",
            "            if True:\n",
            of("issuer_service", "who_says_nothing_is_closed_and_so_is_who_stays_too_long"),
        ),
        Change(
            "keystore-that-is-in-use-is-the-members-fault",
            '                busy = TryLater("the issuer is busy", "try again in a minute", KEYSTORE_RETRY_SECONDS)\n',
            '                busy = InvalidInput("the issuer is busy", "try again in a minute")\n',
            of("issuer_service", "while_a_command_has_the_keystore_members_are_asked_to_come_back"),
        ),
        Change(
            "whoever-holds-an-access-key-is-told-all",
            "        if len(signature) != _SIGNATURE_BYTES or len(key) != _KEY_BYTES or not curve.verify(",
            "        if False and not curve.verify(",
            of("issuer_service", "what_was_signed_for_another_connection_or_federation_is_no_claim")
            + of("issuer_service", "a_join_card_that_somebody_saw_is_worth_nothing_without_its_key"),
        ),
        Change(
            "cards-of-others-on-a-members-channel",
            '        if talk.member is None or fields.get("member") != talk.member:\n',
            "        if False:\n",
            of("issuer_service", "a_card_of_another_member_or_before_anybody_said_who_is_there_is_refused"),
        ),
        Change(
            "service-lets-the-schedule-run-out",
            "            self._issuer.renew_if_due()\n            try:\n",
            "            try:\n",
            of("issuer_service", "a_service_renews_before_it_answers"),
        ),
        Change(
            "schedule-runs-out-where-nobody-comes",
            "            self._issuer.renew_if_due()\n            self._note_office()\n",
            "            self._note_office()\n",
            of("issuer_service", "a_service_renews_the_schedule_when_a_third_is_left_though_nobody_comes"),
        ),
        Change(
            "answer-is-as-long-as-its-tokens",
            "            return issuer_frames.padded(self._issue(talk, _text(body)).encode())\n",
            "            return self._issue(talk, _text(body)).encode()\n",
            of("issuer_service", "answers_say_by_their_length_nothing_of_how_many_tokens_there_were"),
        ),
        Change(
            "large-office-has-the-room-of-a-small-one",
            "self._guests.most = limits.guests * cohorts",
            "self._guests.most = limits.guests",
            of("issuer_service", "an_office_has_room_for_each_of_its_cohorts"),
        ),
        Change(
            "access-keys-are-those-of-the-last-request",
            "        await self._look_at_access_keys()\n",
            "",
            of("leaving", "an_invitation_that_was_made_before_rotations_is_good_until_its_date"),
        ),
        Change(
            "newest-access-key-is-answered-sooner",
            "            found = channel.hello_access_key(hello, nonce, [key])\n",
            "            return channel.hello_access_key(hello, nonce, [key])\n",
            of("issuer_service", "the_check_of_a_hello_tries_every_key_whichever_fits"),
        ),
        Change(
            "stranger-sends-long-requests",
            "                if talk.member is not None:\n                    assembler.most",
            "                if True:\n                    assembler.most",
            of("issuer_service", "requests_are_short_until_somebody_has_shown_who_is_there"),
        ),
    ),
    f"{_ISSUER}/standing.py": (
        Change(
            "whoever-has-one-connection-makes-room",
            "self._send_away(counts.most_common(1)[0][0])",
            "self._send_away(counts.most_common()[-1][0])",
            of("issuer_service", "who_came_first_of_those_with_most_makes_room"),
        ),
        Change(
            "member-has-any-number-of-connections",
            "        if self._each is not None and counts[owner] >= self._each:\n",
            "        if False:\n",
            of("issuer_service", "a_member_has_so_many_connections_and_its_oldest_makes_room"),
        ),
    ),
    f"{_ISSUER}/issuer.py": (
        Change(
            "copies-outnumber-the-relays-that-are-left",
            "        if copies > max(1, left):\n",
            "        if False:\n",
            of("clustering", "no_relay_goes_that_copies_need"),
        ),
        Change(
            "plan-for-other-copies-is-taken",
            "        if topology_of(plan) != self.topology:\n",
            "        if False:\n",
            of("clustering", "a_plan_for_other_copies_is_refused_with_both_ways_out"),
        ),
        Change(
            "restored-keystore-goes-on-as-if-nothing-was",
            "        if self._store.was_restored:\n            raise",
            "        if False:\n            raise",
            of("issuer", "a_keystore_that_is_older_than_what_was_published_says_nothing_until_it_is_told"),
        ),
        Change(
            "removed-member-is-welcome",
            "        if not self._store.roster.is_member(key):\n",
            "        if False:\n",
            of("issuer", "a_removed_member_gets_no_tokens_even_for_an_open_session"),
        ),
    ),
    # -- the relay on a server
    "host/tessera_host/relay/sqlite_device.py": (
        Change(
            "database-does-not-sync",
            '"synchronous=FULL"',
            '"synchronous=NORMAL"',
            of("sqlite_device", "what_was_programmed_is_on_the_disk_when_a_sync_returns"),
        ),
        Change(
            "database-keeps-what-was-erased",
            '"secure_delete=ON"',
            '"secure_delete=OFF"',
            of("sqlite_device", "what_was_erased_is_nowhere"),
        ),
        Change(
            "log-of-changes-keeps-what-was-erased",
            "            if self._committing.erases:\n",
            "            if False:\n",
            of("sqlite_device", "what_was_erased_is_nowhere"),
        ),
        Change(
            "commit-that-failed-loses-its-pages",
            "        self._committing.add(self._pending)\n        self._pending, self._committing",
            "        self._pending, self._committing",
            of("sqlite_device", "what_came_while_a_commit_failed_is_in_the_next_with_it"),
        ),
        Change(
            "pages-of-a-commit-under-way-are-not-read",
            "for changes in (self._pending, self._committing):\n            found",
            "for changes in (self._pending,):\n            found",
            of("sqlite_device", "a_seal_in_the_middle_of_a_commit_finds_its_pages_and_both_are_durable"),
        ),
        Change(
            "answer-that-stored-nothing-writes-nothing",
            "for number in range(ANSWER_PAGES * tick.answers - written):",
            "for number in range(0):",
            of("sqlite_device", "answers_for_which_nothing_is_stored_wait_as_long_and_have_as_much_written_for_them"),
        ),
        Change(
            "lease-is-written-beside-what-answers-write",
            "ANSWER_PAGES = 2 ",
            "ANSWER_PAGES = 1 ",
            of("sqlite_device", "answers_for_which_nothing_is_stored_wait_as_long_and_have_as_much_written_for_them"),
        ),
        Change(
            "a-server-knows-which-pages-are-blank",
            "known = self._blank_is_public and not",
            "known = not",
            ("attacks/test_attacks.py::test_moments_of_a_server_hold",),
        ),
        Change(
            "others-read-the-database",
            "        path.touch(mode=0o600)  # page keys are in it\n",
            "        path.touch(mode=0o644)  # page keys are in it\n",
            of("sqlite_device", "sync_is_understood_and_every_file_is_its_owners"),
        ),
        Change(
            "storage-of-another-relay-is-taken",
            '            raise NotThisRelays("it belongs to another relay")\n',
            "            pass\n",
            of("sqlite_device", "the_storage_of_another_relay_is_refused_and_left_as_it_is"),
        ),
        Change(
            "database-of-another-program-is-taken",
            "        if application != _APPLICATION and tables:\n",
            "        if False:\n",
            of("sqlite_device", "somebody_else_s_database_is_refused_and_left_as_it_is"),
        ),
    ),
    "host/tessera_host/relay/punctual.py": (
        Change(
            "waits-are-whole-milliseconds",
            "                self._wake_after(timeout)\n",
            "                pass\n",
            of("punctual", "a_wait_ends_by_the_systems_timer"),
        ),
        Change(
            "a-timer-that-is-over-wakes-whoever-waits-for-ever",
            "            elif timeout is None and self._set:\n",
            "            elif False:\n",
            of("punctual", "who_waits_for_ever_is_not_woken_by_a_timer_that_is_over"),
        ),
    ),
    "host/tessera_host/relay/storage.py": (
        Change(
            "unknown-scheme-is-a-folder",
            '    if scheme != "sqlite":\n',
            "    if False:\n",
            of("storage", "an_unknown_scheme_is_refused_and_nothing_is_made"),
        ),
    ),
    "host/tessera_host/relay/server_relay.py": (
        Change(
            "relay-that-ran-gets-a-new-storage",
            "        if not self.database_path.exists() and not (self._directory / SEED).exists():\n",
            "        if False:\n",
            of("server_relay", "a_relay_that_ran_gets_no_new_storage"),
        ),
    ),
    "host/tessera_host/relay/metrics.py": (
        Change(
            "load-is-shown-to-everybody",
            "        if load:\n",
            "        if True:\n",
            of("metrics", "an_idle_office_and_a_busy_one_show_the_same_figures"),
        ),
        Change(
            "storage-is-shown-to-everybody",
            "        if self._load:\n",
            "        if True:\n",
            of("metrics", "an_idle_office_and_a_busy_one_show_the_same_figures"),
        ),
    ),
    "host/tessera_host/relay/health.py": (
        Change(
            "a-wrong-clock-is-well",
            "        if self.clock_far_off is not None:\n",
            "        if False:\n",
            of("metrics", "a_clock_that_is_stepped_by_an_hour_is_told_once_and_nothing_is_lost"),
        ),
    ),
    "host/tessera_host/relay/watched_relay.py": (
        Change(
            "what-members-are-refused-is-counted",
            "        elif isinstance(error, Refusal) and session.token is None:\n",
            "        elif isinstance(error, Refusal):\n",
            of("metrics", "refusals_are_counted_up_to_auth_and_no_further"),
        ),
    ),
    "host/tessera_host/relay/log.py": (
        Change(
            "what-others-log-is-written",
            '        line |= {"event": "internal", "part": record.name}\n',
            '        line |= {"event": record.getMessage(), "part": record.name}\n',
            of("metrics", "no_line_has_an_address_or_names_anybody"),
        ),
    ),
    # -- the audit
    "host/tessera_host/audit/verify.py": (
        Change(
            "chain-is-not-checked",
            "            elif after.previous != before.link():\n",
            "            elif False:\n",
            of("audit", "a_checkpoint_left_out_is_found_by_the_chain"),
        ),
        Change(
            "checkpoint-of-any-key",
            "            if not any(_verifies(checkpoint, key) for key in self._ledger_keys):\n",
            "            if False:\n",
            of("audit", "a_checkpoint_with_one_bit_changed_is_found", "a_checkpoint_that_says_something_else_is_found"),
        ),
        Change(
            "checkpoint-of-another-epoch",
            "            if checkpoint.epoch != epoch:\n",
            "            if False:\n",
            of("audit", "a_checkpoint_shown_for_another_epoch_is_found"),
        ),
        Change(
            "cover-key-is-used-twice",
            "            if first != checkpoint.epoch:\n",
            "            if False:\n",
            of("audit", "a_cover_key_used_twice_is_found"),
        ),
        Change(
            "relay-tells-another-story-later",
            "            if epoch in signed and signed[epoch].blob != kept[epoch].blob:\n",
            "            if False:\n",
            of("audit", "a_relay_that_tells_another_story_later_is_found"),
        ),
        Change(
            "relay-forgets-what-it-showed",
            "            if shown and epoch not in shown and newer < KEPT_CHECKPOINTS:\n",
            "            if False:\n",
            of("audit", "a_relay_that_forgot_what_it_showed_is_found"),
        ),
        Change(
            "parameters-go-back",
            "            if before is not None and found.serial < before.serial:\n",
            "            if False:\n",
            of("audit", "parameters_that_went_back_or_do_not_govern_are_found"),
        ),
        Change(
            "epochs-of-a-contradicted-set-are-whole",
            "        self._check_contradictions(chain)\n",
            "",
            of("audit", "two_signed_sets_of_one_serial_are_a_finding_against_the_issuer"),
        ),
        Change(
            "relay-may-have-a-set-before-its-first-epoch",
            "            if epoch < found.first_epoch and (before is not None or self._had_one_before(found)):\n",
            "            if False:\n",
            of("audit", "parameters_that_went_back_or_do_not_govern_are_found"),
        ),
        Change(
            "new-relay-is-held-to-the-set-s-first-epoch",
            "(before is not None or self._had_one_before(found)):\n",
            "True:\n",
            of("audit", "a_new_relay_has_its_first_set_before_that_set_s_first_epoch"),
        ),
        Change(
            "relay-that-was-off-is-late",
            "            if found and due and running >= SETTLING_EPOCHS:\n",
            "            if found and due:\n",
            of("audit", "a_relay_that_was_off_for_two_sets_keeps_the_old_one_until_it_is_back"),
        ),
        Change(
            "relay-is-never-late",
            "        self._note_late(chain)\n",
            "",
            of("audit", "a_set_that_nobody_brought_to_a_running_relay_is_said_to_be_missing"),
        ),
        Change(
            "set-that-was-replaced-is-due",
            " and each.digest not in replaced]\n",
            "]\n",
            of("audit", "a_set_that_never_came_into_force_as_others_replaced_it_is_not_missed"),
        ),
        Change(
            "unknown-firmware-is-no-finding",
            "            if digest not in self._evidence.firmware:\n",
            "            if False:\n",
            of("audit", "a_checkpoint_that_says_something_else_is_found"),
        ),
    ),
    "host/tessera_host/provisioning/settings.py": (
        Change(
            "country-that-an-esp32-ignores-is-taken",
            "            if self.country:\n",
            "            if False:\n",
            of("flash", "what_an_esp32_takes_from_its_access_point_cannot_be_chosen"),
        ),
        Change(
            "open-network-has-security",
            "        if not password and self.security:\n",
            "        if False:\n",
            of("flash", "an_open_network_has_no_security"),
        ),
    ),
    "host/tessera_host/provisioning/moving.py": (
        Change(
            "another-network-keeps-the-old-address",
            "if name not in NETWORK_KEYS}",
            'if name != "wifi"}',
            of("flash", "a_relay_gets_another_network_and_keeps_all_else"),
        ),
        Change(
            "relay-with-a-closed-prompt-is-stopped-in-vain",
            '    if status["repl"] == "closed":\n',
            "    if False:\n",
            of("flash", "a_network_that_a_relay_cannot_have_is_refused_before_it_is_stopped"),
        ),
    ),
    "host/tessera_host/provisioning/eligibility.py": (
        Change(
            "board-takes-cells-that-its-heap-has-no-room-for",
            "    if chosen.cell_records is not None and needed.largest_cell > chosen.cell_records:\n",
            "    if False:\n",
            of("eligibility", "a_heap_that_is_too_small_is_refused_with_numbers"),
        ),
    ),
    "host/tessera_host/audit/published.py": (
        Change(
            "published-digests-are-not-compared",
            "        if against:\n",
            "        if False:\n",
            of("audit", "a_published_list_that_tells_something_else_is_held_against_the_issuer"),
        ),
    ),
    "host/tessera_host/audit/audit.py": (
        Change(
            "newest-set-is-not-the-one-that-info-names",
            "        if found.digest != answers.newest_digest:\n",
            "        if False:\n",
            of("audit", "a_relay_that_names_another_set_than_it_shows_is_found"),
        ),
    ),
    "host/tessera_host/audit/archive.py": (
        Change(
            "archive-that-was-changed-is-believed",
            "if checkpoint.relay_key != relay_key or not any(_holds(checkpoint, key) for key in ledger_keys):",
            "if checkpoint.relay_key != relay_key:",
            of("audit", "an_archive_that_was_damaged_is_said_to_be_not_the_relay"),
        ),
    ),
    # -- arithmetic
    "host/tessera_host/privacy/noise.py": (
        Change(
            "one-side-of-delta",
            "return Fraction(max(more, fewer), one * DRAWS)",
            "return Fraction(min(more, fewer), one * DRAWS)",
            of("noise", "exact_delta_is_that_of_the_integers_and_meets_what_was_asked")
            + of("audit", "delta_of_a_set_is_that_of_its_integers"),
        ),
        Change(
            "mu-is-not-the-smallest",
            "        if formula_at_most(epsilon, middle, delta):\n            high = middle\n",
            "        if formula_at_most(epsilon, middle - 1, delta):\n            high = middle\n",
            of("noise", "published_mu_for_epsilon_one_tenth"),
        ),
        Change(
            "delta-is-printed-better-than-true",
            "mantissa = -(-value * 10 ** (digits - 1) // 1)",
            "mantissa = value * 10 ** (digits - 1) // 1",
            of("noise", "printed_delta_is_never_smaller_than_the_true_one"),
        ),
    ),
    "host/tessera_host/privacy/composition.py": (
        Change(
            "a-delivery-too-many",
            "    return low + bisect_left(range(low + 1, high),",
            "    return low + 1 + bisect_left(range(low + 1, high),",
            of("accountant", "what_is_allowed_keeps_the_office_s_epsilon_and_delta"),
        ),
        Change(
            "what-only-one-story-shows-is-left-out",
            "    kept = Fraction((grid.one - one.only) * (grid.one - other.only), grid.one * grid.one)\n",
            "    kept = Fraction(1)\n",
            of("composition", "never_below_the_sum_over_all_that_can_be_seen"),
        ),
        Change(
            "one-way-is-enough",
            "        return min(Fraction(1), max(beyond(e_lower) for beyond in sides))\n",
            "        return min(Fraction(1), sides[0](e_lower))\n",
            of("composition", "never_below_the_sum_over_all_that_can_be_seen"),
        ),
        Change(
            "products-are-rounded-down",
            "    packed = (one.packed * other.packed + less >> bits) & masses\n",
            "    packed = (one.packed * other.packed >> bits) & masses\n",
            of("composition", "a_product_is_the_sum_of_products_rounded_up"),
        ),
        Change(
            "ends-are-forgotten",
            "    lost = lost_below + lost_above\n",
            "    lost = 0\n",
            of("composition", "rounding_goes_one_way"),
        ),
        Change(
            "far-losses-are-forgotten",
            "            only_here += p << draw\n            only_there += q << draw\n",
            "            pass\n",
            of("composition", "never_below_the_sum_over_all_that_can_be_seen"),
        ),
        Change(
            "masses-have-as-many-digits-however-far-losses-go",
            "return _Grid(ratio, far, _BITS + int(reach * 3 / 4))",
            "return _Grid(ratio, far, _BITS + 16)",
            of("composition", "far_out_what_only_one_story_can_show_is_all_there_is"),
        ),
    ),
    "host/tessera_host/privacy/shaping.py": (
        Change(
            "a-day-may-be-a-little-over",
            "delta_of([Part(thresholds, 1, self._deliveries)], self._epsilon) > self._delta",
            "delta_of([Part(thresholds, 1, self._deliveries)], self._epsilon) > 2 * self._delta",
            of("shaping", "the_same_numbers_make_the_same_table"),
        ),
        Change(
            "one-delivery-is-not-looked-at",
            "noise.exact_delta(thresholds, noise.exp_lower(epsilon)) > delta",
            "noise.exact_delta(thresholds, noise.exp_lower(epsilon)) > 2 * delta",
            of("shaping", "both_bounds_hold_where_both_are_wanted"),
        ),
    ),
    "host/tessera_host/member/accountant.py": (
        Change(
            "a-record-counts-by-the-newest-table",
            "        known = self._federation.with_digest(departure.digest)\n",
            "        known = self._federation.newest\n",
            of("accountant", "a_record_counts_by_the_table_under_which_it_left"),
        ),
        Change(
            "a-cell-is-counted-once",
            "        shifts = Counter(self.cells[aged:])\n",
            "        shifts = Counter({cell: 1 for cell in self.cells[aged:]})\n",
            of("accountant", "several_records_in_one_cell_count_as_one_large_shift"),
        ),
    ),
    "host/tessera_host/privacy/allowance.py": (
        Change(
            "copies-are-no-deliveries-of-a-day",
            "composition.deliveries_within(thresholds, *budget) // copies",
            "composition.deliveries_within(thresholds, *budget)",
            of("plan", "copies_are_counted_by_hand"),
        ),
    ),
    "host/tessera_host/planning/plan.py": (
        Change(
            "ring-is-planned-without-spare-pages",
            "    room = chosen.ring_pages - SPARE_PAGES\n    epochs = choice",
            "    room = chosen.ring_pages\n    epochs = choice",
            of("plan", "capacity_rule_at_its_edge"),
        ),
        Change(
            "readers-are-not-counted",
            "    _check_readers(made)\n",
            "",
            of("plan", "readers_of_every_round_must_fit_a_board_s_time"),
        ),
        Change(
            "half-a-round-is-a-whole-one",
            "_READING_SHARE = Fraction(1, 2)",
            "_READING_SHARE = Fraction(1)",
            of("plan", "readers_of_every_round_must_fit_a_board_s_time"),
        ),
        Change(
            "nineteen-members-hide-each-other",
            "MEMBERS_FLOOR = 20",
            "MEMBERS_FLOOR = 19",
            of("plan", "fewer_than_twenty_members_a_bucket_need_a_yes"),
        ),
        Change(
            "plan-file-is-believed",
            '    if recorded != plan.as_json()["thresholds"]:\n',
            "    if False:\n",
            of("plan", "a_spoiled_plan_file_is_refused"),
        ),
    ),
    # -- IT and its servers
    "host/tessera_host/member/fetching.py": (
        Change(
            "constant-batches-are-not-counted",
            "            self._count(relay, batch)\n",
            "            pass\n",
            of("member", "constant_batches_are_counted_by_who_reads_them"),
        ),
    ),
    "host/tessera_host/relay/status.py": (
        Change(
            "an-ended-schedule-is-the-clock-s-fault",
            "    if status.clock_provisional and not _may_be_over(status, federation, now):\n",
            "    if status.clock_provisional:\n",
            of("relay_status", "an_ended_schedule_is_never_called_a_clock_error"),
        ),
        Change(
            "one-silent-relay-hides-the-others",
            "        except TesseraError as error:\n            return relay, None, [_failure(error)]\n",
            "        except ValueError:\n            raise\n",
            of("relay_status", "all_relays_of_a_card_are_asked_at_once_and_a_silent_one_hides_no_other"),
        ),
    ),
    "host/tessera_host/systemd.py": (
        Change(
            "service-writes-everywhere",
            "ProtectSystem=strict\n",
            "ProtectSystem=no\n",
            of("systemd", "a_unit_may_write_its_state_and_listen_at_its_port_and_nothing_else"),
        ),
        Change(
            "unit-with-the-passphrase-s-file-as-an-argument",
            "    secrets = [\n",
            '    arguments = [*arguments, "--passphrase-file", "x"]\n    secrets = [\n',
            of("systemd", "the_passphrase_comes_by_a_credential_and_is_in_no_unit"),
        ),
        Change(
            "state-anywhere",
            "    if place.parent != STATES or not",
            "    if not",
            of("systemd", "state_elsewhere_is_refused_with_where_it_belongs"),
        ),
    ),
    "host/tessera_host/cli/issuer.py": (
        Change(
            "service-listens-at-all-addresses",
            "        places = options.places(told)\n",
            '        places = Listening("0.0.0.0", port).places(told)\n',
            of("systemd", "the_service_listens_where_members_were_told_that_it_is"),
        ),
    ),
    "host/tessera_host/protocol/listening.py": (
        Change(
            "renewed-certificate-waits-for-a-restart",
            "        if stamps != self._stamps:\n",
            "        if False:\n",
            of("websocket", "a_renewed_certificate_is_shown_from_the_next_connection_on"),
        ),
    ),
    "host/tessera_host/protocol/websocket.py": (
        Change(
            "websocket-fragments-of-nothing",
            "        if self._barren > BARREN_FRAMES or (frame.opcode in _DATA and not frame.data):\n",
            "        if self._barren > BARREN_FRAMES:\n",
            of("websocket", "what_is_no_channel_s_ends_the_connection"),
        ),
        Change(
            "websocket-pings-without-end",
            "        if self._barren > BARREN_FRAMES or (frame.opcode in _DATA and not frame.data):\n",
            "        if frame.opcode in _DATA and not frame.data:\n",
            of("websocket", "what_is_no_channel_s_ends_the_connection"),
        ),
        Change(
            "websocket-text",
            "        if frame.opcode is Opcode.TEXT:\n",
            "        if False:\n",
            of("websocket", "what_is_no_channel_s_ends_the_connection"),
        ),
        Change(
            "websocket-long-messages",
            "        return cls(ServerProtocol(max_size=MESSAGE_BYTES, logger=_SILENT), reader, writer, tls)\n",
            "        return cls(ServerProtocol(logger=_SILENT), reader, writer, tls)\n",
            of("websocket", "what_is_no_channel_s_ends_the_connection"),
        ),
        Change(
            "websocket-answers-nobody-reads",
            "        await self._writer.drain()  # who does not read is not read\n",
            "",
            of("websocket", "who_does_not_read_is_not_read"),
        ),
        Change(
            "websocket-long-heads",
            "not self._ended and left > 0:\n",
            "not self._ended:\n",
            of("websocket", "no_handshake_no_channel"),
        ),
        Change(
            "websocket-forwarded-by-anybody",
            "        if named and is_loopback(str(peer[0])):\n",
            "        if named:\n",
            of("websocket", "nobody_else_says_whom_it_came_for"),
        ),
        Change(
            "websocket-logs",
            "_SILENT.setLevel(logging.CRITICAL + 1)\n",
            "_SILENT.propagate = True\n",
            of("websocket", "nothing_is_logged_of_who_came"),
        ),
    ),
    "host/tessera_host/protocol/proxies.py": (
        Change(
            "proxy-for-this-computer",
            "    if is_loopback(host):\n",
            "    if False:\n",
            of("proxies", "a_usual_variable_is_not_meant_for_this_computer_or_for_exceptions"),
        ),
        Change(
            "proxy-answer-read-on",
            '        _check_answer(await reader.readuntil(b"\\r\\n\\r\\n"))\n',
            "        _check_answer(await reader.read(65536))\n",
            of("proxies", "nothing_that_a_relay_says_first_is_lost"),
        ),
    ),
    # -- relays that are kept running
    f"{_CLUSTER}/supervisor.py": (
        Change(
            "what-does-not-start-is-started-every-second",
            "pause = min(2 * pause, LONGEST_PAUSE_SECONDS)",
            "pause = FIRST_PAUSE_SECONDS",
            of("supervisor", "pauses_double_up_to_a_minute_while_it_does_not_start"),
        ),
        Change(
            "relay-goes-on-without-its-directory",
            "            process.kill()\n        elif",
            "            pass\n        elif",
            of("supervisor", "a_node_whose_directory_is_gone_comes_back_empty"),
        ),
        Change(
            "stopped-in-the-order-of-the-start",
            "for node in reversed(self._nodes):",
            "for node in self._nodes:",
            of("supervisor", "all_are_started_in_order_and_stopped_in_the_reverse_order"),
        ),
        Change(
            "who-does-not-stop-goes-on",
            "                process.kill()\n                how",
            "                how",
            of("supervisor", "who_does_not_stop_is_killed"),
        ),
    ),
}
