"""The processes that run application code: how they start and end (`boot/`, `hazards/`), how they serve
(`serve/`, `connection/`)."""
