"""Applications that Paste files describe."""

from __future__ import annotations

import logging
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from superwsgi.apps import AppError
from superwsgi.apps.load import load

SHOP = """
    import logging

    log = logging.getLogger("shop.early")

    def make(settings, **own):
        def application(environ, start_response):
            log.info("asked for %s", own["title"])
            return [own["title"].encode(), settings["here"].encode()]
        return application

    def wrap(app, settings, **own):
        return lambda environ, start_response: [b"wrapped", *app(environ, start_response)]

    def nothing(settings):
        pass

    def broken(settings):
        raise KeyError("database.url")
"""
SITE = """
    [app:main]
    paste.app_factory = paste_shop:make
    title = Shop

    [app:other]
    paste.app_factory = paste_shop:make
    title = Other

    [filter:wrap]
    paste.filter_app_factory = paste_shop:wrap

    [pipeline:whole]
    pipeline = wrap main

    [app:nothing]
    paste.app_factory = paste_shop:nothing

    [app:broken]
    paste.app_factory = paste_shop:broken

    [server:main]
    use = egg:waitress#main
"""
LOGGING = """
    [loggers]
    keys = root

    [handlers]
    keys = file

    [formatters]
    keys = plain

    [logger_root]
    level = INFO
    handlers = file

    [handler_file]
    class = FileHandler
    args = (r"%(here)s/shop.log",)
    formatter = plain

    [formatter_plain]
    format = %(levelname)s %(message)s
"""


class PasteFolder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("paste_shop.py", SHOP)

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return f"paste:{path}"

    def refusal(self, text: str) -> AppError:
        with pytest.raises(AppError) as caught:
            load(text)
        return caught.value


@pytest.fixture
def paste(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PasteFolder]:
    pytest.importorskip("paste.deploy")
    folder = tmp_path / "a b#c"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield PasteFolder(folder)
    sys.modules.pop("paste_shop", None)


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def answer(text: str) -> list[bytes]:
    return list(load(text)({}, lambda status, headers, exc_info=None: lambda data: None))


def test_sections(paste: PasteFolder) -> None:
    site = paste.write("site.ini", SITE)
    here = str(paste.folder).encode()
    assert answer(site) == answer(f"{site}#main") == [b"Shop", here]
    assert answer(f"{site}#other") == [b"Other", here]
    assert answer(f"{site}#whole") == [b"wrapped", b"Shop", here]


def test_its_logging_is_set_up(paste: PasteFolder, logging_as_before: None) -> None:
    early = logging.getLogger("shop.early")
    answer(paste.write("site.ini", SITE + LOGGING))
    assert Path(paste.folder, "shop.log").read_text() == "INFO asked for Shop\n"
    assert not early.disabled


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ("otter", "the file has no section [app:otter], did you mean 'other'?; it has main, other, whole"),
        ("broken", "making its application failed: KeyError: 'database.url' ("),
        ("nothing", "it cannot be called: its type is NoneType"),
        ("absent", "ModuleNotFoundError: No module named 'paste_absent' ("),
    ],
)
def test_what_cannot_be_made(paste: PasteFolder, section: str, reason: str) -> None:
    site = paste.write("site.ini", SITE + "[app:absent]\npaste.app_factory = paste_absent:make\n")
    error = paste.refusal(f"{site}#{section}")
    assert error.reason.startswith(f"{site}#{section}: ")
    assert reason in error.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the file has no section [app:main]"),
        ("x = 1", "is no ini file: File contains no section headers"),
        ("[app:main]\nuse = config:absent.ini", "No such file or directory"),
        ("[app:main]\nuse = egg:absent_package", "absent_package"),
        ("[app:main]\ntitle = %(gone)s", "gone"),
        ("[app:main]\n[loggers]\nkeys = root", "its logging cannot be set up: KeyError: 'formatters'"),
    ],
)
def test_files_that_cannot_be_used(paste: PasteFolder, text: str, reason: str) -> None:
    assert reason in paste.refusal(paste.write("site.ini", text)).reason


def test_files_that_are_not_there(paste: PasteFolder) -> None:
    assert "there is no such file" in paste.refusal(f"paste:{paste.folder}/absent.ini").reason
    Path(paste.folder, "junk.ini").write_bytes(b"\xff\0")
    assert "the file is not UTF-8 text" in paste.refusal(f"paste:{paste.folder}/junk.ini").reason


def test_without_pastedeploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(tmp_path, "site.ini").write_text("[app:main]")
    monkeypatch.setitem(sys.modules, "paste.deploy", None)
    with pytest.raises(AppError, match=r"a Paste file needs PasteDeploy, which is not there .*install it"):
        load(f"paste:{tmp_path}/site.ini")
