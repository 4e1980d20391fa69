"""`make c-stack`: the C stack that each function of firmware/modules takes, at most, as the compiler says.

Usage: python -m tools.build.c_stack FOLDER

FOLDER holds, here or below, the call graphs (.ci) that the build put beside the module's objects.

Adds up frames along the deepest chain of calls, for the machine and the options of that build; MicroPython's own
functions below the module (allocation, errors) do not count. Where the field is assembly (field_m0.py), which has no
call graph, its frame is added below every function that calls no other. Exit status 1 if a chain exceeds the module's
STACK_BYTES, or if secrets could lie deeper than its wipe_stack() reaches.
"""

import re
import sys
from functools import cache
from pathlib import Path

MODULE = Path(__file__).resolve().parents[2] / "firmware/modules/secp256k1/modsecp256k1.c"
FUNCTIONS = ("verify", "sign", "public", "dh", "tweak_add", "randomize")
FUNCTIONS += ("secret_make_new", "point_make_new", "prepared_make_new")
# Of mbedcrypto:
FUNCTIONS += ("make_hmac_key", "hmac_key_digest", "hmac_key_digest_into", "hmac_key_verify", "hmac_sha256")
FUNCTIONS += ("sha256", "hkdf", "hkdf_expand")
FUNCTIONS += ("page_key_make_new", "page_key_open", "page_key_seal", "page_key_decrypt", "page_search_call")
FUNCTIONS += ("dummies_make_new", "dummies_make", "dummies_heads")
FUNCTIONS += ("frame_key_make_new", "frame_key_open", "frame_key_seal", "frame_key_seal_in_place")

# What the library calls through a pointer; the error callbacks, which it calls so too, do not come back.
THROUGH_POINTERS = ("nonce_function_bip340", "ecdh_hash_function_sha256")

OWN_FIELD = "tessera_gej_add_affine"  # a function that only a build with our field has

NODE = re.compile(r'node: { title: "([^"]+)" label: "[^"]*?\\n(\d+) bytes \(([^)]+)\)')
EDGE = re.compile(r'edge: { sourcename: "([^"]+)" targetname: "([^"]+)"')


class Graph:
    """Frames in bytes and calls, by function name without the source file that static ones carry."""

    def __init__(self, folder: Path) -> None:
        self.frames: dict[str, int] = {}
        self.calls: dict[str, set[str]] = {"__indirect_call": set(THROUGH_POINTERS)}
        for file in sorted(folder.rglob("*.ci")):
            text = file.read_text()
            for title, size, kind in NODE.findall(text):
                if kind == "dynamic":
                    sys.exit(f"{title}: the compiler knows no bound for its frame")
                self.frames[plain(title)] = int(size)
            for source, target in EDGE.findall(text):
                self.calls.setdefault(plain(source), set()).add(plain(target))
        if missing := [name for name in (*FUNCTIONS, *THROUGH_POINTERS, "wipe_stack") if name not in self.frames]:
            sys.exit(f"{folder}: no call graph of {', '.join(missing)}. Build the module with GCC 10 or later.")
        self.leaf_bytes = frame_of_products() if any(folder.rglob("field_m0.s")) else 0
        self.deepest = cache(self._deepest)

    def _deepest(self, name: str) -> tuple[int, tuple[str, ...]]:
        """Bytes from the entry of a function on, and the chain that takes them; recursion would be a RecursionError."""
        below = max((self.deepest(callee) for callee in self.calls.get(name, ())), default=(self.leaf_bytes, ()))
        return self.frames.get(name, 0) + below[0], (name, *below[1])


def plain(title: str) -> str:
    return title.rsplit(":", 1)[-1]


def frame_of_products() -> int:
    """What the assembly takes of the stack: its frame, and the four registers that the entry pushes."""
    match = re.search(r"^FRAME_WORDS = (\d+)$", (MODULE.parent / "field_m0.py").read_text(), re.MULTILINE)
    if not match:
        sys.exit("field_m0.py: no FRAME_WORDS")
    return 4 * (int(match[1]) + 4)


def constant(graph: Graph, name: str) -> int:
    """A constant of the module. It is defined twice: first for our field, then for the library's."""
    found = re.findall(rf"^#define {name} (\d+)$", MODULE.read_text(), re.MULTILINE)
    if len(found) != 2:
        sys.exit(f"{MODULE}: {name} must be defined twice, for either field; found {len(found)}")
    return int(found[0] if OWN_FIELD in graph.frames else found[1])


def unwiped(graph: Graph) -> list[str]:
    """Chains of calls with secrets on the stack that reach deeper than wipe_stack() overwrites."""
    reach = constant(graph, "WIPED_BYTES")
    wiping = [name for name, callees in graph.calls.items() if "wipe_stack" in callees]
    return [
        f"{name} → {callee}"
        for name in wiping
        for callee in graph.calls[name] - {"wipe_stack"}
        if graph.deepest(callee)[0] > reach
    ]


def main() -> int:
    graph = Graph(Path(sys.argv[1]))
    limit = constant(graph, "STACK_BYTES")
    good = True
    for name in FUNCTIONS:
        size, chain = graph.deepest(name)
        good &= size <= limit
        print(f"{name:21}{size:6} bytes  {' > '.join(chain)}")
    print(f"{'allowed':21}{limit:6} bytes  STACK_BYTES")
    for chain in unwiped(graph):
        good = False
        print(f"{chain} reaches deeper than WIPED_BYTES: enlarge that in {MODULE.name}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
