# The relay core: plain Python, the same on MicroPython 1.25 and CPython 3.11+.
#
# Reading order, for one sitting:
#   1. A request arrives    wire (bytes of frames), aead and channel (encryption), handshakes (how a session begins)
#   2. It is answered       errors (refusals), admission (tokens, proofs, quota), relay (what each request means)
#   3. What is stored       nor and page (one page of flash), recordlog (records), keyring (keys and counters)
#   4. What readers get     cover (dummies), batch (records and dummies in one order)
#   5. Time                 clock, rounds (which round is open), epochs (what an epoch has while it is kept)
#   6. Signed objects       params and parameterstore, push (how they arrive), ledger, release and staging (new code)
#   7. On the network       server (sockets, and the moment at which each answer leaves)
#
# Below all of them: runtime (what MicroPython and CPython do differently), hashes, curve, drbg, native. A name that
# ends in _plain, curve_coincurve and viper are tiers: other implementations of the module without the suffix, or of
# native. Around them: machine (figures of a board), files, filedevice, ownership and firmware (a relay on a computer),
# selftest and announcement (what a start does first and says last).
#
# PROTOCOL in the files is firmware/PROTOCOL.md, DESIGN is docs/design.md.

VERSION = "0.1.0"
RELEASED = 1_767_225_600  # unix seconds; this code did not exist earlier, so a clock that shows less is wrong
