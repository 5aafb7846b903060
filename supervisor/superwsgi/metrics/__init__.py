"""The application's own metrics: prometheus_client's files of numbers, in multiprocess mode."""
