"""Fetching over HTTP: on a server that cuts, forgets, lies or changes its mind, what arrives is the file or nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support_broker import make_certificates
from support_http import FileServer

from device.models.http_source import HttpSource
from device.models.pace import FetchInterruptedError, Pace
from device.models.partial import PartialFile
from specnet.errors import BundleIntegrityError, ModelStoreError

DATA = np.random.default_rng(0).bytes(100_000)
DIGEST = hashlib.sha256(DATA).hexdigest()
NEVER = Pace(0.0, lambda: False)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device.models.http_source.FIRST_PAUSE_S", 0.001)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer({"/f": DATA}) as server:
        yield server


@pytest.fixture
def partial(tmp_path: Path) -> Iterator[PartialFile]:
    with PartialFile(tmp_path, DIGEST, len(DATA)) as partial:
        yield partial


def test_it_goes_on_where_the_last_connection_was_cut(server: FileServer, partial: PartialFile) -> None:
    server.cut_after = [30_000, 1, 20_000]
    HttpSource().fetch(partial, server.url("/f"), NEVER)
    assert partial.finish().read_bytes() == DATA
    assert server.ranges == [None, "bytes=30000-", "bytes=30001-", "bytes=50001-"]


def test_a_new_process_goes_on_too(server: FileServer, tmp_path: Path) -> None:
    server.cut_after = [30_000, 0, 0, 0, 0, 0, 0]
    with PartialFile(tmp_path, DIGEST, len(DATA)) as first, pytest.raises(ModelStoreError, match="cannot be fetched"):
        HttpSource().fetch(first, server.url("/f"), NEVER)
    server.cut_after, server.ranges = [], []
    with PartialFile(tmp_path, DIGEST, len(DATA)) as second:
        HttpSource().fetch(second, server.url("/f"), NEVER)
        assert second.finish().read_bytes() == DATA
    assert server.ranges == ["bytes=30000-"]


def test_a_server_without_ranges_begins_anew(server: FileServer, partial: PartialFile) -> None:
    server.knows_ranges = False
    server.cut_after = [30_000, 60_000]
    source = HttpSource()
    source.fetch(partial, server.url("/f"), NEVER)
    assert partial.finish().read_bytes() == DATA
    assert source.counters["http_restarts"] == 2


def test_one_that_always_cuts_at_the_same_place_is_given_up(server: FileServer, partial: PartialFile) -> None:
    server.knows_ranges = False
    server.cut_after = [30_000] * 50
    with pytest.raises(ModelStoreError, match="cannot be fetched: the server ended early"):
        HttpSource().fetch(partial, server.url("/f"), NEVER)
    assert len(server.ranges) < 10


def test_a_file_that_changed_in_between_begins_anew(server: FileServer, partial: PartialFile) -> None:
    server.files["/f"] = DATA[::-1]
    server.cut_after = [30_000]
    source = HttpSource()
    with pytest.raises(FetchInterruptedError):
        source.fetch(partial, server.url("/f"), Pace(0.0, lambda: partial.received >= 30_000))
    server.files["/f"], server.etag = DATA, '"two"'
    source.fetch(partial, server.url("/f"), NEVER)
    assert partial.finish().read_bytes() == DATA
    assert source.counters["http_restarts"] == 1


def test_another_file_of_the_same_size_is_noticed_and_forgotten(server: FileServer, partial: PartialFile) -> None:
    server.files["/f"] = DATA[::-1]
    HttpSource().fetch(partial, server.url("/f"), NEVER)
    with pytest.raises(BundleIntegrityError, match="fetched in vain"):
        partial.finish()
    assert partial.received == 0


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1, 10_000_000])
def test_another_size_is_not_fetched(server: FileServer, partial: PartialFile, size: int) -> None:
    server.files["/f"] = bytes(size)
    with pytest.raises(ModelStoreError, match=f"has {size} bytes, announced are 100000"):
        HttpSource().fetch(partial, server.url("/f"), NEVER)
    assert partial.received == 0


@pytest.mark.parametrize("lie", ["bytes 0-99999/100000", "bytes 30000-99999/5", "bytes */100000", "rubbish"])
def test_a_range_that_was_not_asked_for_is_not_believed(server: FileServer, partial: PartialFile, lie: str) -> None:
    server.cut_after = [30_000]
    server.content_range = lie
    HttpSource().fetch(partial, server.url("/f"), NEVER)
    assert partial.finish().read_bytes() == DATA


def test_errors_of_the_server_pass_or_are_told(server: FileServer, partial: PartialFile) -> None:
    server.statuses = [503, 500]
    HttpSource().fetch(partial, server.url("/f"), NEVER)
    assert partial.finish().read_bytes() == DATA
    partial.restart()
    with pytest.raises(ModelStoreError, match="404 Not Found"):
        HttpSource().fetch(partial, server.url("/nothing"), NEVER)


def test_redirects_are_followed_a_few_times(server: FileServer, partial: PartialFile) -> None:
    server.redirects = {"/a": "/b", "/b": server.url("/f"), "/x": "/x"}
    HttpSource().fetch(partial, server.url("/a"), NEVER)
    assert partial.finish().read_bytes() == DATA
    partial.restart()
    with pytest.raises(ModelStoreError, match="redirects more than 3 times"):
        HttpSource().fetch(partial, server.url("/x"), NEVER)


@pytest.mark.parametrize("url", ["ftp://a/b", "file:///etc/passwd", "http:///x", "http://u:p@h/", "http://h:x/", "h"])
def test_other_addresses_are_refused(partial: PartialFile, url: str) -> None:
    with pytest.raises(ModelStoreError, match="address"):
        HttpSource().fetch(partial, url, NEVER)


def test_small_files_have_a_limit(server: FileServer) -> None:
    server.files["/s"] = b"x" * 100
    assert HttpSource().small(server.url("/s"), 100) == b"x" * 100
    with pytest.raises(ModelStoreError, match="over 99 bytes"):
        HttpSource().small(server.url("/s"), 99)


def test_certificates_are_verified_and_https_stays_https(tmp_path: Path, partial: PartialFile) -> None:
    ca, certificate, key = make_certificates(tmp_path)
    with FileServer({"/f": DATA}, (certificate, key)) as secure, FileServer({"/f": DATA}) as plain:
        HttpSource(str(ca)).fetch(partial, secure.url("/f"), NEVER)
        assert partial.finish().read_bytes() == DATA
        partial.restart()
        with pytest.raises(ModelStoreError, match="CERTIFICATE_VERIFY_FAILED"):
            HttpSource().fetch(partial, secure.url("/f"), NEVER)
        secure.redirects = {"/f": plain.url("/f")}
        with pytest.raises(ModelStoreError, match="from https to http"):
            HttpSource(str(ca)).fetch(partial, secure.url("/f"), NEVER)
    assert partial.received == 0


def test_nobody_listens(partial: PartialFile) -> None:
    with FileServer({}) as gone:
        url = gone.url("/f")
    with pytest.raises(ModelStoreError, match="refused"):
        HttpSource().fetch(partial, url, NEVER)
