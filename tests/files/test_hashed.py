import pytest

from superwsgi.files.hashed import is_hashed


def alone(name):
    return is_hashed(name, lambda: [name])


@pytest.mark.parametrize(
    "name",
    [
        *("base.55e7cbb9ba48.css", "font.0a1b2c3d4e5f.woff2", "report.55e7cbb9ba48.pdf"),  # Django
        *("main.3f2a1b9c.js", "2.d5a3ec0b.chunk.css", "main.8e4f3c2d.js.map", "styles.1f2e3d4c5b6a7988.css"),
        *("logo.6ce24c58023cc2f8fd88fe9d219db6c6.svg", "app-3f2a1b9c.js", "app.fe12c91d32ae8c1b5a3f.js"),
        *("index-BxYz12_a.js", "index-C3hPlT9Z.css", "vendor-a1B2c3D4.js.map"),  # Vite
        *("chunk-7ZQKX2AB.js", "main-QWERT2YU.css"),  # esbuild
    ],
)
def test_digests(name):
    assert alone(name)


@pytest.mark.parametrize(
    "name",
    [
        *("jquery.js", "jquery-3.7.1.min.js", "jquery-1234567.js", "jquery-12345678.js", "bootstrap.min.css"),
        *("backup.202611271422.csv", "photo.20261127.jpg", "style-20261127.css", "data.20240101120000.json"),
        *("notes.1feb2024.txt", "plan-2024dec1.png", "report.2024dec1.pdf", "cafe.deadbeef.png"),
        *("app-Version2.css", "lib-Angular2.js", "app-React18x.js", "phone-iPhone12.png", "my-DataGrid.js"),
        *("my-template.js", "photo-IMG_2034.jpg", "lib-Utf8Data.js", "a-ES2015V1.js", "x-MacBook1.js"),
        *("README", ".3f2a1b9c.js", "3f2a1b9c", "index-BxYz12_a.exe", "facade12.js", "v1.2.3.js", "a.b.c"),
    ],
)
def test_words_versions_and_dates(name):
    assert not alone(name)


def test_eight_letters_in_a_folder_of_such():
    names = ["index-DiwrgTda.js", "index-B7x2QnrT.css", "logo.svg", "index-DiwrgTda.js.map"]
    assert is_hashed("index-DiwrgTda.js", lambda: names)
    assert not is_hashed("index-DiwrgTda.js", lambda: [*names, "main.js"])
    assert not is_hashed("index-DiwrgTda.js", lambda: names[:1])
    assert not is_hashed("my-DataGrid.js", lambda: ["my-DataGrid.js", "my-DataList.js"])
