"""The error of wrong input."""


class BadInput(ValueError):
    """The input of a control request, or an option of a fault or an endpoint, is wrong."""
