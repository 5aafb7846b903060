"""The kinds of values in a site file: their types in Python, their bounds, and how they are spelled there.

`unit` names the grammar that reads a value's text; text/reader.py has the table of these.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

Seconds = Annotated[float, Meta(ge=0, extra_json_schema={"unit": "duration"})]
"""A duration in seconds; in a site file `250ms`, `30s`, `5m`, `1h` or a number of seconds."""

Deadline = Annotated[float, Meta(gt=0, extra_json_schema={"unit": "duration"})]
"""A duration that cannot be 0: nothing would ever be in time, and 0 does not mean never."""

Threshold = Annotated[float, Meta(ge=0, extra_json_schema={"unit": "threshold"})]
"""A duration above 0, or 0 for `off`."""

COOLING: Final = 300.0
"""Seconds of a quarantine that is only switched `on`."""

Cooling = Annotated[float, Meta(ge=0, extra_json_schema={"unit": "cooling"})]
"""A duration above 0, or `on` for a usual one; 0 for `off`."""

Bytes = Annotated[int, Meta(ge=0, extra_json_schema={"unit": "size"})]
"""A size in bytes; in a site file `8K`, `100M`, `1G` or a number of bytes."""

Share = Annotated[float, Meta(gt=0, le=1, extra_json_schema={"unit": "percent"})]
"""A share of the memory this process may use, 0 < share <= 1; in a site file `40%`."""

Tolerance = Annotated[float, Meta(ge=0, le=1, extra_json_schema={"unit": "tolerance"})]
"""A share of answers below all of them; in a site file `1%` or, for all of them, `off`."""

Octal = Annotated[int, Meta(ge=0, le=0o777, extra_json_schema={"unit": "octal"})]
"""Permission bits; in a site file octal digits, quoted or not."""

Switch = Annotated[bool, Meta(extra_json_schema={"unit": "switch"})]
"""In a site file `on` or `off`."""

Consent = Annotated[bool, Meta(extra_json_schema={"unit": "consent"})]
"""In a site file `yes` or `no`."""

Count = Annotated[int, Meta(ge=0)]
PositiveCount = Annotated[int, Meta(ge=1)]

Places = Annotated[int, Meta(ge=0, le=10_000, extra_json_schema={"unit": "places"})]
"""A number of which each takes a thread; 0 for `off`."""

Processes = Annotated[int, Meta(ge=1, le=1024)]
"""More is a slip of the hand: one worker a CPU is the rule, and few machines have as many CPUs. Each has an
interpreter of its own, some 10 MB at the least, and a scoreboard is laid out for all of them."""

CompanionCount = Annotated[int, Meta(ge=0, le=1024)]
"""Processes of one companion; 0 has none of it run."""

ThreadCount = Annotated[int, Meta(ge=1, le=10_000)]
"""Threads of one interpreter take turns, so they are for requests that wait; to compute more at once there
are workers. Each takes some 17 KB, two of the 65,530 memory maps of a process (vm.max_map_count), and a place
among the processes that a user or a control group may have (`ulimit -u`, pids.max)."""

GreenCount = Annotated[int, Meta(ge=0, le=100_000)]
"""Greenlets of one interpreter take turns, too; each takes some kilobytes while it runs a request, and has a
place on the scoreboard. 0 has none."""

Backlog = Annotated[int, Meta(ge=1, le=65535)]
"""What listen(2) takes on every kernel; net.core.somaxconn may cut it down further."""

SiteName = Annotated[str, Meta(extra_json_schema={"unit": "name"})]
Account = Annotated[str, Meta(extra_json_schema={"unit": "account"})]
Variable = Annotated[str, Meta(extra_json_schema={"unit": "variable"})]
FilePath = Annotated[str, Meta(extra_json_schema={"unit": "path"})]
ControlPath = Annotated[str, Meta(extra_json_schema={"unit": "control"})]
SocketPath = Annotated[str, Meta(extra_json_schema={"unit": "socket"})]
LogFile = Annotated[str, Meta(extra_json_schema={"unit": "log"})]
LogFormat = Annotated[str, Meta(extra_json_schema={"unit": "format"})]
Network = Annotated[str, Meta(extra_json_schema={"unit": "network"})]
ImportString = Annotated[str, Meta(extra_json_schema={"unit": "application"})]
Function = Annotated[str, Meta(extra_json_schema={"unit": "function"})]
CompanionName = Annotated[str, Meta(extra_json_schema={"unit": "companion"})]
Command = Annotated[str, Meta(extra_json_schema={"unit": "command"})]
"""A program and its arguments, divided as a shell would divide them."""

HealthPath = Annotated[str, Meta(extra_json_schema={"unit": "health"})]
PathPrefix = Annotated[str, Meta(extra_json_schema={"unit": "prefix"})]
"""A path, and what is below it."""

Sample = Annotated[float, Meta(gt=0, le=1, extra_json_schema={"unit": "sample"})]
"""A share of the access log's lines, 0 < share <= 1; in a site file `10%` or `0.1`."""

Mount = Annotated[str, Meta(extra_json_schema={"unit": "mount"})]
RulePath = Annotated[str, Meta(extra_json_schema={"unit": "rule"})]
"""A path, and what is below it, on a host or on any."""

RootPath = Annotated[str, Meta(extra_json_schema={"unit": "root"})]
"""Where a whole site is: `/`, or a path without a final slash."""

ProxyField = Annotated[str, Meta(extra_json_schema={"unit": "proxy_field"})]
"""A request field's name, or with a star at its end the beginning of names."""

HostName = Annotated[str, Meta(extra_json_schema={"unit": "host_name"})]
ServerName = Annotated[str, Meta(extra_json_schema={"unit": "server_name"})]
