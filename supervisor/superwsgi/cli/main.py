"""What all commands share: the group, and `superwsgi -c site.yaml` as the short form of `serve`."""

from __future__ import annotations

import click

from superwsgi import __version__, build
from superwsgi.cli.group import CommandGroup

_SITE = ("serve", "run", "dev", "check", "init", "unit", "reference")
_SERVER = ("status", "why", "stacks", "profile", "config")
_ACTING = ("reload", "logs", "upgrade", "stop")
_WORKERS = ("recycle", "kill", "workers")
_MODULES = {
    **{name: f"superwsgi.cli.site.{name}" for name in _SITE},
    **{name: f"superwsgi.cli.server.{name}" for name in _SERVER},
    **{name: f"superwsgi.cli.acting.{name}" for name in _ACTING},
    **dict.fromkeys(_WORKERS, "superwsgi.cli.acting.workers"),
}
"""Where each command is. It is imported when it is called: all of them take as long as what one needs."""

_EPILOG = """\b
Signals to the master process:
  TERM        stop: answer what is in hand, then end
  INT, QUIT   stop at once
  HUP         reload: new configuration, new code, no request lost
  USR1        reopen the log files
  USR2        upgrade: replace the master's own program in place
  TTIN, TTOU  one worker more, one less
"""


def _build() -> str:
    """What runs: `Python 3.13.0, compiled`, where mypyc made C of the modules on the request path."""
    return f"Python {build.python()}, {'compiled' if build.is_compiled() else 'pure Python'}"


@click.group(
    cls=CommandGroup,
    modules=_MODULES,
    invoke_without_command=True,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "-c", "--config", "path", metavar="FILE", help="Serve the site that FILE describes (as `serve -c`)."
)
@click.version_option(f"{__version__} ({_build()})", "-V", "--version", message="superwsgi %(version)s")
@click.pass_context
def main(context: click.Context, path: str | None) -> None:
    """Run Python web applications in production.

    \b
    superwsgi site.yaml            serve the site that a file describes
    superwsgi dev                  serve it while you write it
    superwsgi run                  serve the application of this folder
    superwsgi run shop.wsgi:app    serve an application without a file
    superwsgi init                 write a site file for this folder
    superwsgi check site.yaml      find out whether a site would start
    superwsgi reference threads    explain a key of the site file
    superwsgi unit                 print or install the site's systemd unit
    superwsgi status               show what the sites of this machine do
    superwsgi status shop          show what one of them does
    superwsgi why                  show what has gone wrong, and what followed
    superwsgi stacks shop          show what its threads do right now
    superwsgi profile shop         find the slow line of code
    superwsgi config shop          show its configuration, and where it comes from
    superwsgi reload shop --wait   load new code, and wait until it serves
    superwsgi recycle shop --wait  replace all workers by fresh ones
    superwsgi workers shop +1      have one worker more, until the next reload
    superwsgi upgrade shop --wait  replace superwsgi or Python, in place
    """
    if context.invoked_subcommand is not None:
        if path is not None and context.invoked_subcommand == "run":
            raise click.UsageError(f"name one thing to serve, as in: superwsgi run {path}")
        if path is not None:
            raise click.UsageError(
                f"give -c to the command: superwsgi {context.invoked_subcommand} -c {path}"
            )
        return
    if path is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)
    from superwsgi.cli.site.serve import serve

    context.invoke(serve, option=path)
