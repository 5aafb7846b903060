import pytest

from superwsgi.files.asked.encodings import choose

SIZES = {"br": 40, "zstd": 50, "gzip": 60}


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "br"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("br;q=0.5, gzip;q=1.0", "gzip"),
        ("br ; q=0 , gzip", "gzip"),
        ("br;q=0", ""),
        ("*", "br"),
        ("*;q=0", ""),
        ("br;q=0, *", "zstd"),
        ("identity", ""),
        ("identity, gzip;q=0.5", ""),
        ("identity;q=0", ""),
        ("identity;q=0.5, gzip", "gzip"),
        ("gzip;q=0.001", "gzip"),
        ("gzip;q=2", ""),
        ("gzipped, brotli, abr", ""),
        ("deflate", ""),
        ("", ""),
        (",,;;q=1,", ""),
    ],
)
def test_what_is_chosen(accepted, coding):
    assert choose(accepted, SIZES, 100) == coding


def test_what_is_larger_than_the_file_is_of_no_use():
    assert choose("gzip, br", {"gzip": 100, "br": 120}, 100) == ""
    assert choose("gzip, identity;q=0", {"gzip": 100}, 90) == "gzip"
