"""Which kind of request ends workers: what is in hand when they crash, against what is in hand otherwise."""
