"""`python -m tessera_host` is `tessera`."""

from .cli import main

main()
