"""Tables and figures of chapter 3 from stored results."""


def write_table(*a):
    pass


def markdown(*a):
    return ""
