"""Cases that no exporter gives: operators by hand."""


def forms(case, attempt, seeded, numeric_rows):
    pass
