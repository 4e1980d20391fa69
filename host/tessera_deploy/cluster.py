"""`python -m tessera.deploy.cluster`: an office with several relays, by its first name.

Owns nothing: it is `tessera cluster`.
"""

import sys

from tessera_host.cli import run


def main() -> None:
    sys.exit(run(["cluster", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
