"""A program: each piece of code is run in a process of its own, as a mold imports an application, and
examined.

Reads {name: code} from stdin; writes what was found of each as a list to the file `name` of the folder that
it is given. The code is the module `app`, `app.py` in a folder that is the working folder.
"""

import json
import os
import sys
from pathlib import Path
from types import ModuleType

import psutil

from superwsgi.worker import hazards


def main():
    folder = Path(sys.argv[1])
    for name, code in json.load(sys.stdin).items():
        if os.fork() == 0:
            report(folder / name, code)
        os.wait()


def report(result, code):
    try:
        result.with_suffix(".d").mkdir()
        os.chdir(result.with_suffix(".d"))
        said = examined(code)
    except BaseException as error:
        said = [repr(error)]
    result.write_text(json.dumps(said))
    for child in psutil.Process().children(recursive=True):
        child.kill()
    os._exit(0)


def examined(code):
    app = sys.modules["app"] = ModuleType("app")
    app.__file__ = str(Path("app.py").resolve())
    Path(app.__file__).write_text(code)
    before = hazards.now()
    with hazards.recorded() as places:
        exec(compile(code, app.__file__, "exec"), vars(app))
    return hazards.examine(before, places)


main()
