"""Mutants of what surrounds the relay on a board: console, provisioning, updates, clock, watchdog, link, log."""

from tests.mutants.mutant import Change, Changes, tests_in

of = tests_in("core")

CHANGES: Changes = {
    "firmware/device/commands.py": (
        Change(
            "console-sets-a-clock-that-is-too-early",
            "    if not relay.clock.possible(unix_ms):\n",
            "    if False:\n",
            of("device_console", "the_clock_is_set_by_the_first_time_and_corrected_within_bounds"),
        ),
        Change(
            "console-sets-the-clock-as-it-is-told",
            "moved_ms = relay.clock.correct(unix_ms)",
            "moved_ms = relay.clock.set(unix_ms) or 0",
            of("device_console", "the_clock_is_set_by_the_first_time_and_corrected_within_bounds"),
        ),
        Change(
            "factory-reset-without-the-name",
            "    if [name.encode()] != arguments:\n",
            "    if not arguments:\n",
            of("device_console", "a_factory_reset_needs_the_name_of_the_relay"),
        ),
        Change(
            "commissioning-shows-a-round-too-few",
            "    while offset < batch.count:\n",
            "    while offset < batch.count - 4:\n",
            of("device_console", "commissioning_shows_what_the_cover_key_gives"),
        ),
        Change(
            "commands-need-no-relay",
            "    if appliance.relay is None:\n",
            "    if False:\n",
            of("device_console", "without_a_relay_its_commands_are_refused_and_the_others_work"),
        ),
    ),
    "firmware/device/console.py": (
        Change(
            "line-of-any-length-is-obeyed",
            "            if len(line) > _LONGEST_LINE:\n",
            "            if False:\n",
            of("device_console", "a_line_that_is_too_long_is_refused_whole_and_the_next_one_is_obeyed"),
        ),
        Change(
            "line-without-an-end-takes-all-memory",
            "        if len(self._line) <= _LONGEST_LINE:  # a longer line is refused, so its rest is not kept\n"
            "            self._line += piece\n",
            "        self._line += piece\n",
            of("device_console", "a_line_without_an_end_takes_little_memory"),
        ),
        Change(
            "control-characters-are-part-of-a-command",
            "return bytes([byte for byte in line if byte >= 32])",
            "return line",
            of("device_console", "control_characters_of_who_asks_for_a_prompt_are_passed_over"),
        ),
        Change(
            "answer-before-the-data",
            "            if not isinstance(figures, dict):\n                figures = await figures\n",
            "            if not isinstance(figures, dict):\n                figures = {}\n",
            of("device_console", "data_lines_come_before_the_answer_and_handlers_may_wait"),
        ),
    ),
    "firmware/device/explain.py": (
        Change(
            "unexpected-error-is-quoted",
            ".format(type(error).__name__)",
            ".format(error)",
            of("device_appliance", "a_fault_is_said_in_its_own_words_and_an_unexpected_error_without_its_values"),
        ),
        Change(
            "refusals-have-one-code",
            'return refusal_name(type(error)) or "REFUSED"',
            'return "REFUSED"',
            of("device_console", "every_error_has_a_code_and_refusals_that_of_the_protocol"),
        ),
    ),
    "firmware/device/factoryreset.py": (
        Change(
            "every-start-resets",
            "    if not keyring.condemned():\n        return False\n",
            "",
            of("device_factory_reset", "a_board_that_was_not_reset_is_left_alone"),
        ),
        Change(
            "reset-leaves-the-files",
            "    keyring.forget(lambda: _erase(files_device))\n",
            "    keyring.forget(lambda: None)\n",
            of("device_factory_reset", "a_factory_reset_leaves_nothing"),
        ),
        Change(
            "reset-leaves-the-last-sector",
            "    for sector in range(nor.sectors(device)):\n",
            "    for sector in range(nor.sectors(device) - 1):\n",
            of("device_factory_reset", "a_factory_reset_leaves_nothing"),
        ),
    ),
    "firmware/device/faultpage.py": (
        Change(
            "fault-becomes-markup",
            'return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")',
            "return text",
            of("device_appliance", "the_page_says_what_is_wrong_and_what_to_do"),
        ),
        Change(
            "silent-visitor-is-waited-for",
            "await asyncio.wait_for(self._exchange(reader, writer), _PATIENCE_MS // 1000)",
            "await self._exchange(reader, writer)",
            of("device_appliance", "the_page_is_answered_whatever_is_asked_and_silence_is_not_waited_for"),
        ),
    ),
    "firmware/device/link.py": (
        Change(
            "attempts-to-join-do-not-become-rarer",
            "            self._wait_ms = min(2 * self._wait_ms, _LONGEST_WAIT_MS)\n",
            "",
            of("device_appliance", "attempts_to_join_become_rarer_and_begin_anew_after_a_link"),
        ),
        Change(
            "attempts-to-join-stay-rare-after-a-link",
            "            self._wait_ms, self.trouble = _FIRST_WAIT_MS, None\n",
            "            self.trouble = None\n",
            of("device_appliance", "attempts_to_join_become_rarer_and_begin_anew_after_a_link"),
        ),
        Change(
            "four-silences-are-a-dead-link",
            "_SILENCES = const(5)",
            "_SILENCES = const(4)",
            of(
                "device_appliance",
                "a_link_on_which_nobody_answers_is_joined_anew_and_then_left_alone_for_longer_each_time",
            ),
        ),
        Change(
            "link-is-not-left-alone-for-longer",
            "self._trust_ms = min(2 * self._trust_ms, _LONGEST_TRUST_MS) or _FIRST_TRUST_MS",
            "self._trust_ms = _FIRST_TRUST_MS",
            of(
                "device_appliance",
                "a_link_on_which_nobody_answers_is_joined_anew_and_then_left_alone_for_longer_each_time",
            ),
        ),
        Change(
            "whoever-speaks-is-not-heard",
            "        self._silences = self._trust_ms = 0\n",
            "        self._trust_ms = 0\n",
            of("device_appliance", "a_link_on_which_somebody_speaks_is_left_alone"),
        ),
        Change(
            "silence-counts-without-a-link",
            "        if self.address is None:\n            return\n        self._silences",
            "        self._silences",
            of("device_appliance", "without_a_link_silence_means_nothing"),
        ),
        Change(
            "nobody-heard-for-an-hour-is-right",
            "_QUIET_MS = const(600_000)",
            "_QUIET_MS = const(3_600_000)",
            of(
                "device_appliance",
                "nobody_heard_for_ten_minutes_is_reason_to_ask_and_anybody_heard_ends_that",
            ),
        ),
        Change(
            "trouble-outlives-a-link",
            "            self._wait_ms, self.trouble = _FIRST_WAIT_MS, None\n",
            "            self._wait_ms = _FIRST_WAIT_MS\n",
            of("device_network", "what_was_wrong_is_forgotten_when_the_link_is_there"),
        ),
    ),
    "firmware/device/log.py": (
        Change(
            "every-event-wears-the-flash",
            "        if self._kept < _KEPT_A_START:\n",
            "        if True:\n",
            of("device_appliance", "flash_is_written_a_few_times_a_start_whatever_happens_and_the_file_stays_small"),
        ),
        Change(
            "log-file-grows",
            "        if self._directory.size(_FILE) + len(line) <= _FILE_BYTES:\n",
            "        if True:\n",
            of("device_appliance", "flash_is_written_a_few_times_a_start_whatever_happens_and_the_file_stays_small"),
        ),
        Change(
            "ring-of-events-grows",
            "        if len(self._lines) >= _LINES:\n",
            "        if False:\n",
            of("device_appliance", "the_ring_keeps_the_latest_and_an_event_that_comes_back_takes_no_more_room"),
        ),
        Change(
            "event-that-comes-back-takes-more-room",
            "                self._lines.pop(at)\n                break\n",
            "                break\n",
            of("device_appliance", "the_ring_keeps_the_latest_and_an_event_that_comes_back_takes_no_more_room"),
        ),
    ),
    "firmware/device/ota.py": (
        Change(
            "boot-loader-is-told-before-the-trial-is-noted",
            "        self._write()  # before set_boot(): an image that does not know of its trial would never be "
            "marked as good\n"
            "        self._activated = True\n"
            "        slot.set_boot()\n",
            "        slot.set_boot()\n        self._write()\n        self._activated = True\n",
            of("device_ota", "the_boot_loader_hears_of_an_image_only_once_its_trial_is_noted"),
        ),
        Change(
            "trial-is-forgotten-before-the-boot-loader-is-told",
            "            try:\n"
            "                self._partition.mark_app_valid_cancel_rollback()  # before _write(): it may be repeated\n"
            "            except OSError:  # the boot loader knows no trial, as the same image came over "
            "the cable meanwhile\n"
            "                pass\n"
            '            self._state = {"trial": None, "failed": None}\n'
            "            self._write()\n",
            '            self._state = {"trial": None, "failed": None}\n'
            "            self._write()\n"
            "            self._partition.mark_app_valid_cancel_rollback()\n",
            of("device_ota", "a_trial_is_forgotten_only_once_the_boot_loader_keeps_the_image"),
        ),
        Change(
            "image-from-the-cable-cannot-be-confirmed",
            "            except OSError:  # the boot loader knows",
            "            except KeyError:  # the boot loader knows",
            of("device_ota", "an_image_that_came_over_the_cable_amid_its_trial_is_kept"),
        ),
        Change(
            "failed-image-is-not-noticed",
            'if trial is not None and (trial["slot"] != _label(self._running) or trial["version"] != self.version):',
            "if False:",
            of("device_ota", "an_image_that_did_not_serve_is_gone_at_the_next_start"),
        ),
        Change(
            "slot-is-written-to-during-a-trial",
            "return None if self._activated or self.on_trial else self._running.get_next_update()",
            "return None if self._activated else self._running.get_next_update()",
            of("device_ota", "nothing_is_written_while_an_image_is_activated_or_on_trial"),
        ),
    ),
    "firmware/device/provision.py": (
        Change(
            "keys-are-drawn-anew",
            "        if secrets is None:\n            generator",
            "        if True:\n            generator",
            of("device_provision", "keys_are_made_once_and_the_same_after_every_interruption"),
        ),
        Change(
            "keys-are-kept-before-the-seed",
            "            self._directory.replace(_SEED, generator.random(32))\n"
            "            self._directory.replace(_KEYS, secrets[0] + secrets[1])\n",
            "            self._directory.replace(_KEYS, secrets[0] + secrets[1])\n"
            "            self._directory.replace(_SEED, generator.random(32))\n",
            of("device_provision", "where_there_are_keys_there_is_a_seed"),
        ),
        Change(
            "chip-id-does-not-change-the-keys",
            "RelayGenerator(_unhex(host_seed, 32), 0, self._chip_id, self._random_source)",
            'RelayGenerator(_unhex(host_seed, 32), 0, b"", self._random_source)',
            of("device_provision", "each_of_the_three_sources_changes_the_keys"),
        ),
        Change(
            "seed-of-any-length",
            "    if len(data) != length:\n",
            "    if False:\n",
            of("device_provision", "a_seed_of_another_length_is_refused"),
        ),
        Change(
            "an-esp32-draws-keys-as-others-do",
            '    source = getattr(board, "random", os.urandom)\n',
            "    source = os.urandom\n",
            of("device_chip_esp32", "a_blank_board_draws_its_keys_from_the_boards_own_source"),
        ),
        Change(
            "any-file-is-written",
            "    if name != _PARAMETERS:\n",
            "    if False:\n",
            of("device_provision", "no_other_file_can_be_written"),
        ),
        Change(
            "damaged-file-takes-its-place",
            "            if self._digest(name + _PARTIAL) != digest:\n",
            "            if False:\n",
            of("device_provision", "what_was_damaged_on_the_way_does_not_take_a_files_place"),
        ),
        Change(
            "piece-out-of-order-is-taken",
            "        elif offset != there:\n",
            "        elif False:\n",
            of("device_provision", "a_piece_out_of_order_is_refused"),
        ),
        Change(
            "relay-is-made-another",
            '        if present is not None and present["name"] != asked["name"]:\n',
            "        if False:\n",
            of("device_provision", "a_relay_is_not_made_another"),
        ),
        Change(
            "relay-without-parameters",
            "        if self._directory.read(_PARAMETERS) is None:\n",
            "        if False:\n",
            of("device_provision", "it_is_no_relay_before_keys_and_parameters_are_there"),
        ),
        Change(
            "boards-own-settings-are-given",
            "            if name not in _ASKED:\n",
            "            if False:\n",
            of("device_provision", "settings_that_are_the_boards_own_cannot_be_given"),
        ),
        Change(
            "secrets-stay-in-a-second-place",
            "        self._directory.remove(_KEYS)\n",
            "",
            of("device_provision", "the_secrets_are_in_one_place_in_the_end"),
        ),
        Change(
            "readback-tells-the-password",
            '            wifi["password"] = _hex(sha256(unhexlify(nonce) + wifi["password"].encode()).digest())\n',
            "            pass\n",
            of("device_provision", "readback_tells_all_that_was_written_and_the_password_by_a_digest_only"),
        ),
        Change(
            "readback-tells-the-secrets",
            "            configuration.pop(name, None)\n",
            "            pass\n",
            of("device_provision", "nothing_that_is_told_holds_a_secret"),
        ),
        Change(
            "checksum-is-of-nothing",
            "crc32(text.encode()))",
            'crc32(b""))',
            of("device_provision", "what_is_printed_ends_in_its_checksum"),
        ),
    ),
    "firmware/device/sntp.py": (
        Change(
            "answer-to-another-question",
            " or answer[24:32] != nonce:",
            ":",
            of("device_appliance", "only_a_servers_right_answer_tells_a_time"),
        ),
        Change(
            "answer-of-a-client",
            " or answer[0] & _MODE != _SERVER or",
            " or",
            of("device_appliance", "only_a_servers_right_answer_tells_a_time"),
        ),
        Change(
            "time-of-a-server-that-is-not-synchronised",
            "    if answer[0] >> 6 == 3 or answer[1] > 15:\n",
            "    if answer[1] > 15:\n",
            of("device_appliance", "only_a_servers_right_answer_tells_a_time"),
        ),
        Change(
            "zero-is-a-time",
            "    if not seconds:\n",
            "    if False:\n",
            of("device_appliance", "only_a_servers_right_answer_tells_a_time"),
        ),
        Change(
            "no-time-after-2036",
            "    if seconds < _ERA_SECONDS >> 1:\n",
            "    if False:\n",
            of("device_appliance", "only_a_servers_right_answer_tells_a_time"),
        ),
        Change(
            "wrong-datagram-ends-the-question",
            "                if found is not None:\n                    return found\n",
            "                return found\n",
            of("device_appliance", "a_wrong_datagram_does_not_end_the_question"),
        ),
        Change(
            "questions-do-not-become-rarer",
            "min(max(2 * self._wait_seconds, _FIRST_WAIT_SECONDS), _LONGEST_WAIT_SECONDS)",
            "_FIRST_WAIT_SECONDS",
            of("device_appliance", "questions_become_rarer_without_an_answer_and_are_hourly_with_one"),
        ),
        Change(
            "questions-go-on-once-the-clock-is-good",
            "if content and self.heard:",
            "if False:",
            of("device_appliance", "questions_become_rarer_without_an_answer_and_are_hourly_with_one"),
        ),
        Change(
            "server-that-has-too-many-questions-is-asked-as-before",
            "            self._wait_seconds = _LONGEST_WAIT_SECONDS\n",
            "            pass\n",
            of(
                "device_appliance",
                "without_a_good_clock_too_many_questions_become_rare_ones_and_a_denial_leads_to_another_server",
            ),
        ),
        Change(
            "provisional-clock-is-good",
            "relay.clock_accepted)",
            "relay.clock.known)",
            of("device_appliance", "a_clock_is_good_when_a_round_was_opened_by_it_and_it_is_not_provisional"),
        ),
        Change(
            "name-is-looked-up-for-every-question",
            "if self._address is None or self._failures == _PATIENCE:",
            "if True:",
            of("device_appliance", "the_name_of_a_time_server_is_looked_up_rarely"),
        ),
        Change(
            "questions-without-an-answer-do-not-wait-when-it-is-quiet",
            "            if now is not None and keeper.quiet:\n",
            "            if keeper.quiet:\n",
            of("device_appliance", "a_network_clock_is_asked_sooner_when_nobody_else_was_heard_for_long"),
        ),
    ),
    "firmware/device/starts.py": (
        Change(
            "starts-in-a-row-do-not-wait",
            "return 0 if self.in_a_row < _FREE else 2 << min(self.in_a_row - _FREE, 8)",
            "return 0",
            of("device_appliance", "starts_in_a_row_wait_longer_and_longer_and_one_that_settles_ends_that"),
        ),
        Change(
            "good-start-does-not-end-the-waiting",
            "        self._directory.remove(_FILE)\n",
            "",
            of("device_appliance", "starts_in_a_row_wait_longer_and_longer_and_one_that_settles_ends_that"),
        ),
        Change(
            "counter-that-cannot-be-read-keeps-the-relay-down",
            "return int(text) if text is not None and text.isdigit() else 0",
            "return int(text or 0)",
            of("device_appliance", "a_counter_that_cannot_be_read_or_written_keeps_no_relay_from_starting"),
        ),
        Change(
            "start-with-a-dead-link-is-good",
            "        while not link.dead:\n            await sleep(1)\n",
            "        while not link.dead or seconds < _PROVED_SECONDS:\n            await sleep(1)\n",
            of("device_appliance", "a_link_that_was_dead_from_the_start_on_makes_no_start_good"),
        ),
    ),
    "firmware/device/update.py": (
        Change(
            "piece-of-any-length-by-the-cable",
            "    if len(data) > CHUNK_BYTES:\n",
            "    if False:\n",
            of("device_update", "what_is_damaged_or_missing_is_refused_in_words"),
        ),
        Change(
            "serving-relay-erases-at-once",
            "    if relay.open_round is None:  # there are no windows, and no answers that erasing could delay\n",
            "    if True:\n",
            of("device_update", "a_relay_that_serves_erases_in_its_windows_and_one_without_a_clock_at_once"),
        ),
        Change(
            "activation-waits-for-a-seal",
            "    staging.activate_now()\n",
            "    staging.activate()\n",
            of("device_update", "code_comes_by_the_cable_and_runs_after_a_restart"),
        ),
        Change(
            "push-without-a-relay",
            '    if relay is None:\n        raise NotReady("the relay does not run: `status`',
            '    if False:\n        raise NotReady("the relay does not run: `status`',
            of("device_update", "parameters_come_by_the_cable_without_a_clock_but_not_without_a_relay"),
        ),
    ),
    "firmware/device/watchdog.py": (
        Change(
            "one-report-is-enough",
            "        if self._reported == _ALL and self._wdt is not None:\n",
            "        if self._wdt is not None:\n",
            of("device_appliance", "it_is_fed_only_when_both_have_reported"),
        ),
        Change(
            "a-report-lasts-for-ever",
            "            self._reported = 0\n            self._wdt.feed()\n",
            "            self._wdt.feed()\n",
            of("device_appliance", "it_is_fed_only_when_both_have_reported"),
        ),
        Change(
            "timer-goes-on-when-it-is-let-go",
            "            _holder.deinit()\n",
            "            pass\n",
            of("device_appliance", "while_it_is_held_a_timer_feeds_it_and_afterwards_none_does"),
        ),
        Change(
            "it-stays-held-after-what-took-long",
            "            if not held:\n                self.release()\n",
            "            pass\n",
            of("device_appliance", "it_is_held_during_what_takes_long_and_only_then"),
        ),
    ),
    "firmware/device/chip_esp32.py": (
        Change(
            "keys-are-drawn-with-the-radio-off",
            "    radio_on()\n    return os.urandom(length)\n",
            "    return os.urandom(length)\n",
            of("device_chip_esp32", "keys_are_drawn_with_the_radio_on_and_awake"),
        ),
        Change(
            "radio-sleeps-while-keys-are-drawn",
            "    nic.config(pm=WLAN.PM_NONE)\n",
            "",
            of("device_chip_esp32", "keys_are_drawn_with_the_radio_on_and_awake"),
        ),
        Change(
            "sessions-beyond-the-memory",
            "    return min(count, wanted)\n",
            "    return wanted\n",
            of("device_chip_esp32", "there_are_as_many_sessions_as_the_memory_bears_and_no_more_than_wanted"),
        ),
        Change(
            "a-relay-starts-in-too-little-memory",
            "    if count < _LEAST:\n",
            "    if False:\n",
            of("device_chip_esp32", "memory_that_bears_no_relay_is_a_fault_that_says_how_much_is_lacking"),
        ),
        Change(
            "memory-is-counted-with-its-garbage",
            "    gc.collect()\n    free = gc.mem_free()\n",
            "    free = gc.mem_free()\n",
            of("device_chip_esp32", "what_is_left_is_counted_when_the_relay_stands"),
        ),
    ),
    "firmware/device/service.py": (
        Change(
            "storage-opens-before-the-radio-is-on",
            '    if hasattr(board, "prepare"):\n        board.prepare()\n',
            "",
            of("device_chip_esp32", "a_start_readies_the_board_before_storage_and_serves_as_many_as_it_bears"),
        ),
        Change(
            "as-many-sessions-whatever-the-memory",
            "        sessions = board.sessions(sessions or relay.machine.sessions)\n",
            "        board.sessions(sessions or relay.machine.sessions)\n",
            of("device_chip_esp32", "a_start_readies_the_board_before_storage_and_serves_as_many_as_it_bears"),
        ),
    ),
    "firmware/device/button.py": (
        Change(
            "button-counts-from-the-start",
            "            elif ticks_diff(now, since) >= _HOLD_MS:\n",
            "            elif ticks_diff(now, start_ms) >= _HOLD_MS:\n",
            of("device_appliance", "a_button_that_was_let_go_of_counts_anew"),
        ),
        Change(
            "button-that-is-released-counts-on",
            "                since = None\n                if ticks_diff",
            "                if ticks_diff",
            of("device_appliance", "a_button_that_was_let_go_of_counts_anew"),
        ),
    ),
    "firmware/device/led.py": (
        Change(
            "trial-looks-like-service",
            '    "trial": "#####################.#.",\n',
            '    "trial": "#######################.",\n',
            of("device_appliance", "every_state_has_a_rhythm_that_no_other_has"),
        ),
    ),
    "firmware/device/wlan.py": (
        Change(
            "power-save-holds-frames-back",
            "        self._nic.config(pm=network.WLAN.PM_NONE)\n",
            "",
            of("device_network", "a_station_joins_without_power_save"),
        ),
        Change(
            "attempt-that-goes-on-is-begun-again",
            "        if waited_ms >= _PATIENCE_MS.get(status, 0):\n",
            "        if True:\n",
            of("device_network", "a_join_that_waits_for_dhcp_is_left_alone"),
        ),
        Change(
            "attempt-without-end-is-waited-for",
            "        if waited_ms >= _PATIENCE_MS.get(status, 0):\n",
            "        if status < 0:\n",
            of("device_network", "an_attempt_without_end_is_not_waited_for"),
        ),
        Change(
            "join-before-what-was-there-has-ended",
            "        self._nic.disconnect()\n\n    def trouble",
            "        self._nic.disconnect()\n        self._join()\n\n    def trouble",
            of("device_network", "a_link_on_which_nobody_answers_is_joined_anew"),
        ),
        Change(
            "address-without-a-link",
            "        if self.dead or self._leaving or not self._nic.isconnected():\n            return None\n",
            "",
            of("device_network", "a_station_joins_without_power_save"),
        ),
        Change(
            "one-late-answer-is-a-dead-radio",
            "_SLOW = const(2)",
            "_SLOW = const(1)",
            of("device_network", "one_late_answer_is_no_dead_radio"),
        ),
        Change(
            "led-asks-a-dead-radio",
            "        if not Station.dead:\n            start",
            "        if True:\n            start",
            of("device_network", "a_radio_that_hangs_is_noticed_by_its_led_and_costs_two_answers"),
        ),
        Change(
            "radio-that-hangs-is-joined-by",
            "        if self.dead and _started(self._nic):\n            return  # the radio hangs\n",
            "",
            of("device_network", "a_radio_that_hangs_is_noticed_by_its_led_and_costs_two_answers"),
        ),
        Change(
            "radio-without-a-station-fails-again-and-again",
            "        except OSError:  # the radio did not start completely\n            Station.dead = True\n",
            "        except ValueError:\n            pass\n",
            of("device_network", "a_radio_that_starts_by_halves_is_dead"),
        ),
        Change(
            "radio-that-does-not-start-is-tried-for-ever",
            "        if self.dead:\n            return False\n        status",
            "        if self.dead:\n            self.begin()\n        status",
            of("device_network", "a_radio_that_does_not_start_is_asked_twice_and_then_left_alone"),
        ),
    ),
    "firmware/device/wlan_esp32.py": (
        Change(
            "ports-own-attempts-are-disturbed",
            "        if waited_ms < _PATIENCE_MS:\n            return False\n",
            "",
            of("device_network", "the_ports_own_attempts_are_left_alone_for_a_minute"),
        ),
        Change(
            "country-without-effect-is-taken",
            'if "country" in wifi or "security" in wifi:',
            'if "security" in wifi:',
            of("device_network", "what_the_port_cannot_choose_is_refused"),
        ),
    ),
}
