"""Hello, with WhiteNoise in front of it, which sends the files in the folder that BENCH_FILES names: what a
server without files of its own is given."""

import os

from whitenoise import WhiteNoise

from tests.bench.apps import hello

app = WhiteNoise(hello, os.environ["BENCH_FILES"], "/static")
