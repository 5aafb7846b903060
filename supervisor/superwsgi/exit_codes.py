"""What the exit code of a master says, and that of a command. Of all that a master is made of, most commands
need no more: so nothing is imported here.
"""

from __future__ import annotations

from typing import Final

OK: Final = 0
FAILED: Final = 1
CONFIGURATION: Final = 2
APP_NOT_LOADED: Final = 3
NOT_BOUND: Final = 4
