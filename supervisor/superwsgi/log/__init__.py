"""Error log, access log, their formats, and the files behind them.

Not built on `logging`: the application shares that module's global state, and one
`logging.config.dictConfig(...)` with its default `disable_existing_loggers` would silence the server.
"""
