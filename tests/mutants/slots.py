"""Mutants of what chooses a board's code at a start: a trial is one start, and never costs what ran before."""

from tests.mutants.mutant import Change, Changes, tests_in

of = tests_in("core")

CHANGES: Changes = {
    "firmware/slots.py": (
        Change(
            "bundle-is-tried-again-and-again",
            '            slot["tried"] = True\n',
            "",
            of("slots", "a_bundle_is_tried_once_and_given_up_unless_it_is_confirmed"),
        ),
        Change(
            "trial-is-not-durable-before-it-runs",
            "        if json.dumps(self._state) != before:\n            self._write()\n",
            "",
            of("slots", "the_trial_is_durable_before_it_runs"),
        ),
        Change(
            "every-start-writes",
            "        if json.dumps(self._state) != before:\n",
            "        if True:\n",
            of("slots", "a_start_with_nothing_new_writes_nothing"),
        ),
        Change(
            "bundle-as-old-as-the-image-is-tried",
            'if not slot["tried"] and slot["version"] > self._frozen_version and self._is_whole(slot):',
            'if not slot["tried"] and slot["version"] >= self._frozen_version and self._is_whole(slot):',
            of("slots", "a_whole_image_flashed_during_a_trial_wins_if_it_is_newer"),
        ),
        Change(
            "bundle-as-old-as-the-image-runs",
            'if slot is not None and slot["version"] > self._frozen_version and self._is_whole(slot):',
            'if slot is not None and slot["version"] >= self._frozen_version and self._is_whole(slot):',
            of("slots", "a_whole_image_as_new_as_the_bundle_wins"),
        ),
        Change(
            "damaged-bundle-runs",
            'return nor.digest(self._devices[slot["place"]], slot["bytes"]) == unhexlify(slot["sha256"])',
            "return True",
            of("slots", "a_damaged_bundle_does_not_run"),
        ),
        Change(
            "bundle-that-runs-is-written-over",
            'return 0 if slot is None else 1 - slot["place"]',
            'return 0 if slot is None else slot["place"]',
            of("slots", "bundles_take_turns_and_the_one_that_runs_is_never_idle"),
        ),
        Change(
            "staging-over-a-trial",
            "        if self._activated or self.on_trial:\n",
            "        if self._activated:\n",
            of("slots", "nothing_can_be_staged_over_a_trial_or_what_it_would_go_back_to"),
        ),
        Change(
            "staging-over-what-is-activated",
            "        if self._activated or self.on_trial:\n",
            "        if self.on_trial:\n",
            of("slots", "nothing_can_be_staged_over_a_trial_or_what_it_would_go_back_to"),
        ),
        Change(
            "confirmation-is-not-durable",
            '            self._state = {"confirmed": self._running, "trial": None, "failed": None}\n'
            "            self._write()\n",
            '            self._state = {"confirmed": self._running, "trial": None, "failed": None}\n',
            of("slots", "a_confirmed_bundle_runs_at_every_start"),
        ),
        Change(
            "activation-is-not-durable",
            '        self._state["trial"] = slot\n        self._write()\n',
            '        self._state["trial"] = slot\n',
            of("slots", "a_bundle_is_tried_once_and_given_up_unless_it_is_confirmed"),
        ),
        Change(
            "failed-trial-is-not-told",
            '        self._state["failed"] = slot["version"]\n',
            "",
            of("slots", "a_bundle_is_tried_once_and_given_up_unless_it_is_confirmed"),
        ),
        Change(
            "confirmed-bundle-goes-with-a-failed-trial",
            '        self._state["trial"] = None\n        self._state["failed"]',
            '        self._state["trial"] = self._state["confirmed"] = None\n        self._state["failed"]',
            of("slots", "a_failed_trial_goes_back_to_the_confirmed_bundle"),
        ),
        Change(
            "what-is-not-on-trial-is-confirmed",
            "        if self.on_trial:\n            self._state",
            "        if True:\n            self._state",
            of("slots", "confirming_what_is_not_on_trial_changes_nothing"),
        ),
        Change(
            "state-of-any-form-is-believed",
            'if isinstance(state, dict) and sorted(state) == ["confirmed", "failed", "trial"]:',
            "if state:",
            of("slots", "a_file_that_cannot_be_read_means_the_frozen_code"),
        ),
    ),
}
