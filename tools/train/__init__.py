"""Trains the person detector of spoton. See README.md; `python -m train --help` lists the commands."""


class TrainError(Exception):
    """What the user can mend: one line that names the thing, what was found, what to do."""
