"""Errors of data and training that a command line reports in one line."""


class DataError(ValueError):
    """A data set that can't be read or used."""
