"""The README says what the code does."""

import re
from pathlib import Path

from superwsgi.config.reference import markdown_table

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_table_of_keys_is_the_schemas():
    (table,) = re.findall(r"<!-- keys -->\n(.*)\n<!-- /keys -->", README, re.DOTALL)
    assert table == markdown_table().strip()


def test_files_it_links_to_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (Path(__file__).parents[2] / target).exists(), target
