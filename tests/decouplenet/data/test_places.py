"""Files and addresses: unusual names, repeated attempts, and no access keys in messages."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest
from pyarrow.fs import FileSystem

from decouplenet.data import places
from decouplenet.data.places import image_folder, is_address, place_of, read_bytes, read_lines, shown
from decouplenet.errors import InputError


def test_places_of_names(tmp_path):
    assert place_of("a/b.jpg", tmp_path) == tmp_path / "a" / "b.jpg"
    assert place_of("/x.jpg", tmp_path) == Path("/x.jpg")
    assert place_of("~$c.jpg", None) == Path("~$c.jpg")
    assert place_of("s3://b/x.jpg", tmp_path) == "s3://b/x.jpg"
    assert place_of("a b.jpg", "s3://b/d/?region=x") == "s3://b/d/a b.jpg?region=x"
    assert is_address("https://h/x")
    assert not is_address(Path("s3://b"))
    assert shown("s3://key:secret@b/d/x.jpg?token=t") == "s3://b/d/x.jpg"


def test_names_in_object_storage_are_not_unquoted(s3):
    base, _, query = s3.partition("?")
    system, path = FileSystem.from_uri(s3)
    for name in ("my img.jpg", "a[1].jpg", "é.jpg", "50%.jpg", "a#b.jpg"):
        with system.open_output_stream(f"{path}/odd/{name}") as stream:
            stream.write(name.encode())
        assert read_bytes(place_of(name, f"{base}/odd?{query}")) == name.encode()
    with pytest.raises(OSError, match=".") as error:
        read_bytes(f"{base}/odd/gone.jpg?{query}")
    assert "secret" not in str(error.value)


@pytest.fixture
def web(monkeypatch):
    """A web server that answers with the status codes in `answers`, and records the requests in `asked`."""
    answers, asked, pauses = [], [], []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            code = answers.pop(0)
            self.send_response(code or 200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"photo" if code else b"ph")

        def log_message(self, *_):
            pass

    monkeypatch.setattr(places, "sleep", pauses.append)
    server = HTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield SimpleNamespace(host=f"http://127.0.0.1:{server.server_port}", answers=answers, asked=asked, pauses=pauses)
    server.shutdown()
    server.server_close()


def test_an_image_on_the_web(web):
    web.answers[:] = [200, 404]
    assert read_bytes(f"{web.host}/my img.jpg?a=b") == b"photo"
    with pytest.raises(OSError, match="404"):
        read_bytes(f"{web.host}/gone.jpg?sig=SECRET")
    assert web.asked == ["/my%20img.jpg?a=b", "/gone.jpg?sig=SECRET"]  # a missing image is requested once
    assert not web.pauses


@pytest.mark.parametrize("answers", [[503, 200], [429, 500, 200], [None, 200]], ids=str)
def test_temporary_errors_are_tried_again(web, answers):
    """None stands for an answer that breaks off."""
    web.answers[:] = answers
    assert read_bytes(f"{web.host}/a.jpg") == b"photo"
    assert web.pauses == list(places.PAUSES)[: len(answers) - 1]


def test_an_address_is_tried_three_times(web):
    web.answers[:] = [503] * 4
    with pytest.raises(OSError, match="503"):
        read_bytes(f"{web.host}/a.jpg")
    assert len(web.asked) == 3
    assert web.pauses == sorted(web.pauses)


@pytest.mark.parametrize(
    "address",
    ["http://user:SECRET@h:notaport/x", "https://[::1/x?SECRET", "ftp://user:SECRET@host/x", "s3://a:SECRET@b c/x"],
)
def test_an_invalid_address_is_an_error_without_its_keys(address):
    with pytest.raises(OSError, match=".") as error:
        read_bytes(address)
    assert "SECRET" not in str(error.value)


def test_folders_of_images(tmp_path):
    assert image_folder(str(tmp_path), "data.train", "it") == tmp_path
    assert image_folder("s3://b/d?region=x", "data.train", "it") == "s3://b/d?region=x"
    with pytest.raises(InputError, match=r"data.train_images: no folder '.*/none'; give it"):
        image_folder(tmp_path / "none", "data.train", "it")


def test_lines_of_a_text_file(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeff1\r\n\r\n 2 \n".encode())
    assert read_lines(tmp_path / "a.txt", "k") == ["1", "2"]
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"k: '.*a\.txt' cannot be read \(not text in UTF-8\)"):
        read_lines(tmp_path / "a.txt", "k")


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("s3://user:secret@bucket/a?region=x", "s3://bucket/a"),
        ("abfs://container@account.dfs.core.windows.net/a", "abfs://container@account.dfs.core.windows.net/a"),
        ("abfss://container:secret@account.dfs.core.windows.net/a", "abfss://container@account.dfs.core.windows.net/a"),
    ],
)
def test_a_place_is_shown_without_keys_and_stays_usable(place, expected):
    assert shown(place) == expected
