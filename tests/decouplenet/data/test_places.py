"""Files and addresses: names as they are, and no key of an address in a message."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from pyarrow.fs import FileSystem

from decouplenet.data.places import is_address, missing_of, place_of, read_bytes, read_lines, shown
from decouplenet.errors import InputError


def test_what_a_name_means(tmp_path):
    assert place_of("a/b.jpg", tmp_path) == tmp_path / "a" / "b.jpg"
    assert place_of("/x.jpg", tmp_path) == Path("/x.jpg")
    assert place_of("~$c.jpg", None) == Path("~$c.jpg")
    assert place_of("s3://b/x.jpg", tmp_path) == "s3://b/x.jpg"
    assert place_of("a b.jpg", "s3://b/d/?region=x") == "s3://b/d/a b.jpg?region=x"
    assert is_address("https://h/x")
    assert not is_address(Path("s3://b"))
    assert shown("s3://key:secret@b/d/x.jpg?token=t") == "s3://b/d/x.jpg"


def test_names_in_object_storage_are_taken_as_they_are(s3):
    base, _, query = s3.partition("?")
    system, path = FileSystem.from_uri(s3)
    for name in ("my img.jpg", "a[1].jpg", "é.jpg", "50%.jpg", "a#b.jpg"):
        with system.open_output_stream(f"{path}/odd/{name}") as stream:
            stream.write(name.encode())
        assert read_bytes(place_of(name, f"{base}/odd?{query}")) == name.encode()
    with pytest.raises(OSError, match=".") as error:
        read_bytes(f"{base}/odd/gone.jpg?{query}")
    assert "secret" not in str(error.value)


def test_the_web():
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/my%20img.jpg?a=b" else 404)
            self.end_headers()
            self.wfile.write(b"photo")

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=server.serve_forever, daemon=True).start()
    host = f"http://127.0.0.1:{server.server_port}"
    assert read_bytes(f"{host}/my img.jpg?a=b") == b"photo"
    with pytest.raises(OSError, match="404"):
        read_bytes(f"{host}/gone.jpg?sig=SECRET")
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "address",
    ["http://user:SECRET@h:notaport/x", "https://[::1/x?SECRET", "ftp://user:SECRET@host/x", "s3://a:SECRET@b c/x"],
)
def test_what_is_no_address_is_an_error_without_its_keys(address):
    with pytest.raises(OSError, match=".") as error:
        read_bytes(address)
    assert "SECRET" not in str(error.value)


def test_what_is_missing(tmp_path):
    (tmp_path / "there.jpg").touch()
    (tmp_path / "folder").mkdir()
    names = ["there.jpg", "folder", *(f"{i}.jpg" for i in range(11)), "x" * 300]
    (text,) = missing_of([*(tmp_path / name for name in names), "s3://b/x.jpg"], "data.train_images")
    assert text.startswith(f"data.train_images: 13 of 15 images are not in '{tmp_path}': folder, 0.jpg, ")
    assert text.endswith("8.jpg and 3 more")
    (text,) = missing_of([tmp_path / ("y" * 300) / "a.jpg"], "k")
    assert "a.jpg" in text


def test_lines_of_a_text(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeff1\r\n\r\n 2 \n".encode())
    assert read_lines(tmp_path / "a.txt", "k") == ["1", "2"]
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"k: '.*a\.txt' cannot be read \(not a text in UTF-8\)"):
        read_lines(tmp_path / "a.txt", "k")
