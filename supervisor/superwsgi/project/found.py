"""An application that has been found in the folder of a project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Found:
    """What a site file would say of it. `app` is as for the key `app`, `folder` is the site's `chdir`,
    absolute and as the operator spells it, `env` are variables that it needs and the environment lacks.
    `why` tells an operator how it was found: `app.py defines app`. `site_file` is a site file that says
    all of this, as it is spelled; `framework` is `flask`, `django` or the like where it is clear.
    `settings` are other keys of a site file, as TOML has them: texts, numbers, lists, mappings."""

    app: str
    folder: str
    why: str
    env: Mapping[str, str] = field(default_factory=dict)
    framework: str | None = None
    site_file: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
