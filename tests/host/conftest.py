# The tree of commands is built once in this process, not again for each of the many hundred commands that tests give:
# building it takes longer than most of what they do.

import functools

import typer.main

typer.main.get_command = functools.cache(typer.main.get_command)
