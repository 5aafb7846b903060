"""The processes that run application code: how they begin and end (`boot/`, `hazards/`), how they serve
(`serve/`, `connection/`)."""
